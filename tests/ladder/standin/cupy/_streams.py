"""Streams and events: what is done at once here is checked as if it were only queued.

Each operation has a place in its stream. Work of one stream on memory that another writes or reads is refused
unless an event or the host's waiting has put them in order; a page-locked array that a copy reads or writes
must be left alone until the host has waited for the copy. The default stream and blocking streams wait for
each other, as CUDA's do.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from typing import Any

import numpy as np

from cupy import _world

_pinned: dict[int, int] = {}  # first address: one past the last
_several = False  # whether there has been a stream beside the default ones


class _Line:
    """A stream's work: how much was queued, how much of it the host has waited for, what it follows."""

    def __init__(self, device: int, default: bool = False, blocking: bool = True) -> None:
        self.device, self.default, self.blocking = device, default, blocking
        self.queued = self.waited = 0
        self.follows: dict[_Line, int] = {}
        self.copies: list[tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any], bool]] = []

    def ordered_after(self, other: _Line, place: int) -> bool:
        if other is self or place <= other.waited or place <= self.follows.get(other, 0):
            return True
        return self.blocking and other.blocking and (self.default or other.default)

    def wait(self, place: int) -> None:
        """The host waits for what was queued up to a place; copies to and from its memory end here."""
        self.waited = max(self.waited, place)
        with _lock:  # a thread that reads ahead waits for what the one that trains has queued
            over = [one for one in self.copies if one[0] <= place]
            self.copies = [one for one in self.copies if one[0] > place]
        for _, host, copy, upload in over:
            if upload and not _same(host, copy):
                raise RuntimeError("page-locked memory was written before a copy from it was waited for")
            if not upload:
                host[...] = copy


_defaults: dict[int, _Line] = {}
_lock = threading.Lock()


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a.view(np.uint8), b.view(np.uint8)))


def default_line(device: int) -> _Line:
    with _lock:
        return _defaults.setdefault(device, _Line(device, default=True))


def line() -> _Line:
    """The current stream's, on the current device."""
    stack = getattr(_world.thread(), "streams", None)
    if stack and stack[-1] is not None and stack[-1]._line.device == _world.current():
        return stack[-1]._line
    return default_line(_world.current())


def work(reads: tuple[Any, ...], writes: tuple[Any, ...], on: _Line | None = None) -> None:
    """An operation is queued that reads and writes memory.

    Raises
    ------
    RuntimeError
        If another stream may still be at work on it.
    """
    if not _several:
        return
    own = on or line()
    own.queued += 1
    for memory in (*reads, *writes):
        if memory.writer is not None and not own.ordered_after(*memory.writer):
            raise RuntimeError("memory is used while another stream may still be writing it")
    for memory in writes:
        for reader, place in (memory.readers or {}).items():
            if not own.ordered_after(reader, place):
                raise RuntimeError("memory is written while another stream may still be reading it")
    for memory in reads:
        memory.readers = {**(memory.readers or {}), own: own.queued}
    for memory in writes:
        memory.writer, memory.readers = (own, own.queued), None


def is_pinned(array: np.ndarray[Any, Any]) -> bool:
    """Whether a host array lies in page-locked memory."""
    address = array.ctypes.data
    return any(first <= address < last for first, last in _pinned.items())


def host_copy(own: _Line, host: np.ndarray[Any, Any], copy: np.ndarray[Any, Any], upload: bool) -> None:
    """A copy between page-locked memory and a device is queued: the host must leave `host` alone for now."""
    if not upload:
        host.view(np.uint8)[...] = 0xA5  # not there yet
    with _lock:
        own.queued += 1  # a place of its own, which an event behind it tells from a later copy's
        own.copies.append((own.queued, host, copy, upload))


def captured(name: str, reads: tuple[Any, ...], writes: tuple[Any, ...], perform: Any) -> bool:
    """Add an operation to the graph that the thread captures; False if it captures none.

    Raises
    ------
    RuntimeError
        If the operation runs on another stream than the one that is captured.
    """
    capture = getattr(_world.thread(), "capture", None)
    if capture is None:
        return False
    if line() is not capture.stream._line:
        raise RuntimeError(f"{name} runs on another stream than the one that is captured")
    capture.nodes.append(
        (name, [weakref.ref(one) for one in reads], [weakref.ref(one) for one in writes], perform)
    )
    return True


class Graph:
    """`cupy.cuda.Graph`: operations with their arguments; each launch reads what memory then holds."""

    def __init__(self, stream: Stream) -> None:
        self.stream: Any = stream
        self.nodes: list[tuple[str, list[Any], list[Any], Any]] = []

    def launch(self, stream: Stream | None = None) -> None:
        """Run all operations in order.

        Raises
        ------
        RuntimeError
            If memory that an operation needs was freed.
        """
        _world.unless_captured("a graph is launched")
        _world.note("graph", "graph", len(self.nodes))
        with contextlib.nullcontext() if stream is None else stream:
            for name, reads, writes, perform in self.nodes:
                alive = [[one() for one in group] for group in (reads, writes)]
                if any(one is None for group in alive for one in group):
                    raise RuntimeError(f"{name} in a graph uses memory that was freed")
                work(tuple(alive[0]), tuple(alive[1]))
                perform()
                _world.note("node", name)


def wait_for_device(device: int) -> None:
    _world.unless_captured("the host waits")
    _world.note("wait", "device", device=device)
    for one in [default_line(device), *(s._line for s in list(_streams) if s._line.device == device)]:
        one.wait(one.queued)


class Stream:
    """`cupy.cuda.Stream`."""

    null: Stream

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        global _several
        self._null = null
        self.ptr = 0  # others have numbers in place of addresses
        if not null:
            _several = True
            self._own = _Line(_world.current(), blocking=not non_blocking)
            self.ptr = id(self._own)
            _streams.add(self)

    @property
    def _line(self) -> _Line:
        return default_line(_world.current()) if self._null else self._own

    def __enter__(self) -> Stream:
        thread = _world.thread()
        thread.streams = [*getattr(thread, "streams", []), self]
        return self

    def __exit__(self, *args: Any) -> None:
        _world.thread().streams.pop()

    def begin_capture(self, mode: int | None = None) -> None:
        _world.unless_captured("a capture begins")
        if self._null:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: the default stream cannot be captured")
        _world.thread().capture = Graph(self)

    def end_capture(self) -> Graph:
        graph = getattr(_world.thread(), "capture", None)
        if graph is None or graph.stream is not self:
            raise RuntimeError("cudaErrorIllegalState: this stream is not captured")
        _world.thread().capture = graph.stream = None
        return graph

    def is_capturing(self) -> bool:
        graph = getattr(_world.thread(), "capture", None)
        return graph is not None and graph.stream is self

    def synchronize(self) -> None:
        _world.unless_captured("the host waits")
        _world.note("wait", "stream", device=self._line.device)
        self._line.wait(self._line.queued)

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        if event._line is not None:
            own = self._line
            for other, place in {**event._follows, event._line: event._place}.items():
                own.follows[other] = max(own.follows.get(other, 0), place)

    @property
    def done(self) -> bool:
        return True


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()
Stream.null = Stream(null=True)


class Event:
    """`cupy.cuda.Event`."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._line: _Line | None = None
        self._place = 0
        self._follows: dict[_Line, int] = {}
        self._timing = not disable_timing
        self._time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        _world.unless_captured("an event is recorded")
        self._line = line() if stream is None else stream._line
        if self._line.device != _world.current():
            raise ValueError("an event is recorded on a stream of its own device")
        self._place, self._follows = self._line.queued, dict(self._line.follows)
        self._time = time.perf_counter()

    def synchronize(self) -> None:
        _world.unless_captured("the host waits")
        if self._line is not None:
            _world.note("wait", "event", device=self._line.device)
            self._line.wait(self._place)

    @property
    def done(self) -> bool:
        if self._line is not None:
            self._line.wait(self._place)
        return True


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events."""
    if not (start_event._timing and end_event._timing):
        raise RuntimeError("an event made with disable_timing=True has no time")
    return (end_event._time - start_event._time) * 1e3


def get_current_stream(device_id: int = -1) -> Stream:
    device = _world.current() if device_id < 0 else device_id
    stack = [one for one in getattr(_world.thread(), "streams", ()) if one._line.device == device]
    return stack[-1] if stack else Stream.null  # each device has its own


class PinnedMemoryPointer(bytearray):
    """Page-locked memory; NumPy reads it by ``frombuffer``."""


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    memory = PinnedMemoryPointer(size)
    first = np.frombuffer(memory, np.uint8).ctypes.data if size else 0
    _pinned[first] = first + size
    weakref.finalize(memory, _pinned.pop, first, None)
    return memory
