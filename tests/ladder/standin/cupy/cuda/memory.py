"""Pools of memory: what is used, and that there is no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    """A pool of each device; numbers are the current one's. The first is the default pool."""

    def __init__(self, allocator: Any = None, *, default: bool = False) -> None:
        self._counts: _world.Counts = _world.machine if default else _world.Counts()
        if not default:
            _world.machine.others.add(self._counts)

    def malloc(self, size: int) -> MemoryPointer:
        return MemoryPointer(_world.Memory(size, self._counts), 0)

    def used_bytes(self) -> int:
        return self._counts.used[_world.current()]

    def total_bytes(self) -> int:
        return self._counts.total[_world.current()]

    def free_bytes(self) -> int:
        return self.total_bytes() - self.used_bytes()

    def free_all_blocks(self, stream: Any = None) -> None:
        self._counts.total[_world.current()] = self.used_bytes()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if fraction is not None:
            size = int(fraction * _world.machine.memory)
        self._counts.limits[_world.current()] = size or 0

    def get_limit(self) -> int:
        return self._counts.limits.get(_world.current(), 0)


class MemoryPointer:
    """Where an array begins."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr = mem, offset
        self.device_id = mem.device


default_pool = MemoryPool(default=True)


def set_allocator(allocator: Any = None) -> None:
    """All memory comes from this function; the stand-in has no memory outside of pools."""
    if allocator is None:
        raise NotImplementedError("the stand-in has no allocator without a pool")
    _world.machine.allocator = allocator


def get_allocator() -> Any:
    """The thread's own one, or that of all."""
    own = getattr(_world.thread(), "allocator", None)
    return own or _world.machine.allocator or default_pool.malloc


def alloc(size: int) -> MemoryPointer:
    """Of the current allocator."""
    pointer: MemoryPointer = get_allocator()(size)
    return pointer


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    """The thread's memory comes from this function inside."""
    thread = _world.thread()
    before = getattr(thread, "allocator", None)
    thread.allocator = allocator
    try:
        yield
    finally:
        thread.allocator = before
