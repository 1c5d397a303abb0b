"""The machine that the stand-in pretends to: devices with memory of their own, and what happened on them.

`recorded` is how a test counts; `machine` says how many devices there are and how much each holds.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

BLOCK = 512  # bytes: what CuPy's pool rounds to


class Event(NamedTuple):
    """What happened: ``launch``, ``copy`` (on the device), ``h2d``, ``d2h``, ``wait`` or ``alloc``.

    A captured graph is one ``graph`` each time it is launched; its kernels are ``node``.
    """

    kind: str
    device: int
    name: str
    size: int


class Log(list[Event]):
    """Events in order."""

    def count(self, kind: str) -> int:  # type: ignore[override]
        """How many of a kind."""
        return sum(event.kind == kind for event in self)

    def bytes(self, kind: str) -> int:
        """Bytes moved or asked for by events of a kind."""
        return sum(event.size for event in self if event.kind == kind)

    def kinds(self) -> Counter[str]:
        """How many of each."""
        return Counter(event.kind for event in self)

    def devices(self) -> set[int]:
        """Where something happened."""
        return {event.device for event in self}


class Counts:
    """What a pool has given away and reserved, and its limits, by device."""

    def __init__(self) -> None:
        self.limits: dict[int, int] = {}
        self.used: Counter[int] = Counter()
        self.total: Counter[int] = Counter()


class Machine(Counts):
    """How many devices there are, and the bytes that each has; a test may change both.

    It counts for the default pool. `allocator` is the caller's, None for that pool.
    """

    def __init__(self) -> None:
        super().__init__()
        self.devices = int(os.environ.get("NNX_STANDIN_DEVICES", "2"))
        self.memory = 8 << 30
        self.lock = threading.Lock()
        self.allocator: Callable[[int], Any] | None = None
        self.others: weakref.WeakSet[Counts] = weakref.WeakSet()  # of other pools

    def elsewhere(self, counts: Counts, device: int) -> int:
        """Return the bytes that all pools but this one have reserved."""
        return sum(one.total[device] for one in (self, *self.others) if one is not counts)


machine = Machine()
_logs: list[Log] = []
_thread = threading.local()


@contextlib.contextmanager
def recorded() -> Iterator[Log]:
    """The log of what happens inside, on all threads."""
    log = Log()
    _logs.append(log)
    try:
        yield log
    finally:
        _logs[:] = [other for other in _logs if other is not log]


def note(kind: str, name: str, size: int = 0, device: int | None = None) -> None:
    """Something happens, on the current device if none is named."""
    if _logs:
        event = Event(kind, current() if device is None else device, name, size)
        for log in _logs:
            log.append(event)


def current() -> int:
    """The calling thread's current device."""
    return getattr(_thread, "device", 0)


def make_current(index: int) -> None:
    """Set it."""
    _thread.device = index


def nothing() -> None:
    """What was done already."""


def thread() -> Any:
    """What the calling thread keeps."""
    return _thread


def allocated(size: int) -> Memory:
    """Memory from the current allocator: the default pool, or the caller's."""
    chosen = getattr(_thread, "allocator", None) or machine.allocator
    if chosen is None:
        return Memory(size)
    memory: Memory = chosen(size).mem
    if memory.size < size or memory.device != current():
        raise ValueError(f"the allocator gives {memory.size} bytes on gpu:{memory.device} for {size}")
    return memory


def unless_captured(what: str) -> None:
    """Refuse what CUDA forbids while a stream is captured, and what a graph would not repeat.

    Raises
    ------
    RuntimeError
        If the calling thread captures a stream.
    """
    if getattr(_thread, "capture", None) is not None:
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is captured")


_places: dict[int, weakref.ref[Memory]] = {}
_sorted: list[int] = []  # the addresses, sorted when somebody asks


def _forget_order() -> None:
    global _sorted
    _sorted = []  # another list: a thread may be searching the old one


def memory_at(address: int) -> Memory | None:
    """The memory in which an address lies; None if it was freed, or never was a device's."""
    global _sorted
    ordered = _sorted
    if not ordered:
        ordered = _sorted = sorted(_places)
    index = bisect.bisect_right(ordered, address) - 1
    found = _places.get(ordered[index], lambda: None)() if index >= 0 else None
    return found if found is not None and address < found.address + max(found.length, 1) else None


class Memory:
    """A piece of a device's memory, given back to its pool when nothing refers to it any more.

    Attributes
    ----------
    device : int
    writer, readers : see `_streams`
    address : int
        Where it begins, once there is an array in it.
    """

    __slots__ = ("__weakref__", "address", "counts", "device", "length", "readers", "size", "writer")

    def __init__(self, size: int, counts: Counts | None = None) -> None:
        from cupy.cuda.memory import OutOfMemoryError

        self.size = self.address = self.length = 0
        self.device = current()
        unless_captured("memory is allocated")
        self.writer: Any = None
        self.readers: Any = None
        rounded = -(-size // BLOCK) * BLOCK
        self.counts = counts = counts or machine
        with machine.lock:
            used = counts.used[self.device]
            limit = counts.limits.get(self.device, 0)
            most = machine.memory - machine.elsewhere(counts, self.device)
            if used + rounded > min(limit or most, most):
                raise OutOfMemoryError(rounded, used, limit)
            self.size = rounded
            counts.used[self.device] = used + rounded
            counts.total[self.device] = max(counts.total[self.device], used + rounded)
        note("alloc", "memory", rounded)

    def place(self, address: int, length: int) -> None:
        """An array lies in it from this address on."""
        self.address, self.length = address, length
        _places[address] = weakref.ref(self)
        _forget_order()

    def __del__(self) -> None:  # also when Python ends and globals are gone
        if self.size:
            self.counts.used[self.device] -= self.size
        if self.address and _places is not None and _places.get(self.address, lambda: None)() in (None, self):
            _places.pop(self.address, None)  # unless newer memory begins there
            _forget_order()
