"""Pools of memory: what is used, and that there is no more."""

from __future__ import annotations

from typing import Any

from cupy import _world


class OutOfMemoryError(MemoryError):
    """With CuPy's words."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        self._size, self._total, self._limit = size, total, limit
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._size, self._total, self._limit)


class MemoryPool:
    """The pool of each device; numbers are the current one's."""

    def used_bytes(self) -> int:
        return _world.machine.used[_world.current()]

    def total_bytes(self) -> int:
        return _world.machine.total[_world.current()]

    def free_bytes(self) -> int:
        return self.total_bytes() - self.used_bytes()

    def free_all_blocks(self, stream: Any = None) -> None:
        _world.machine.total[_world.current()] = self.used_bytes()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if fraction is not None:
            size = int(fraction * _world.machine.memory)
        _world.machine.limits[_world.current()] = size or 0

    def get_limit(self) -> int:
        return _world.machine.limits.get(_world.current(), 0)


class MemoryPointer:
    """Where an array begins."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr = mem, offset
        self.device_id = mem.device
