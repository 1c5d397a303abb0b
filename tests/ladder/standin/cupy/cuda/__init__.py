"""Devices, streams, memory."""

from __future__ import annotations

from typing import Any

from cupy import _streams, _world
from cupy._streams import (
    Event,
    Graph,
    PinnedMemoryPointer,
    Stream,
    alloc_pinned_memory,
    get_current_stream,
    get_elapsed_time,
)
from cupy.cuda import memory, runtime
from cupy.cuda.memory import (
    MemoryPointer,
    MemoryPool,
    alloc,
    get_allocator,
    set_allocator,
    using_allocator,
)

__all__ = [
    "Device", "Event", "Graph", "MemoryPointer", "MemoryPool", "PinnedMemoryPointer", "Stream", "alloc",
    "alloc_pinned_memory", "get_allocator", "get_current_stream", "get_device_id", "get_elapsed_time",
    "is_available", "memory", "runtime", "set_allocator", "using_allocator",
]  # fmt: skip


class Device:
    """A device by its number; current inside ``with``, on the thread that entered."""

    def __init__(self, device: int | None = None) -> None:
        self.id = _world.current() if device is None else int(device)

    def __enter__(self) -> Device:
        thread = _world.thread()
        thread.stack = [*getattr(thread, "stack", ()), _world.current()]
        try:
            runtime.setDevice(self.id)
        except BaseException:
            thread.stack.pop()
            raise
        return self

    def __exit__(self, *args: Any) -> None:
        _world.make_current(_world.thread().stack.pop())

    def use(self) -> None:
        runtime.setDevice(self.id)

    def synchronize(self) -> None:
        _streams.wait_for_device(self.id)

    @property
    def compute_capability(self) -> str:
        return "80"

    @property
    def mem_info(self) -> tuple[int, int]:
        with self:
            return runtime.memGetInfo()

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


def is_available() -> bool:
    return _world.machine.devices > 0


def get_device_id() -> int:
    return _world.current()
