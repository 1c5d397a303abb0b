"""How rows reach a training step: from the device, streamed to it where they do not fit, or augmented."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from nnx.backends import Array, Backend
from nnx.data.batches import Batches
from nnx.data.rows import CHECKED, HostArray, Rows
from nnx.data.samples import Augmentation, Samples, check_finite
from nnx.errors import DataError

Batch = tuple[Array, Array, Array | None]
Check = Callable[[HostArray], None]
Draw = Callable[[], np.random.Generator]


class Feeder:
    """Brings batches to the device; `feeder` chooses the way that fits the data."""

    resident = False  # whether all rows lie on the device

    def begin(self, order: HostArray | None) -> Any:
        """Return the order of an epoch in the form that `batch` takes; None is all rows as they are."""
        return order

    def batch(self, number: int, order: Any) -> Batch:
        """Return inputs, targets and weights of this rank's rows of a batch.

        It returns the same values however often it is called between two steps.
        """
        raise NotImplementedError

    def whole(self) -> Batch:
        """Return all rows in the network's type, if they lie on the device."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop reading ahead."""


def feeder(
    backend: Backend,
    samples: Samples,
    batches: Batches,
    augment: Augmentation | None,
    check_targets: Check,
    draw: Draw,
) -> Feeder:
    """Choose how rows reach a step: augmented on the host, resident on the device, or streamed to it.

    Parameters
    ----------
    check_targets : callable
        Checks targets that were not checked before training: of files, or from `augment`.
    draw : callable
        Returns the generator of the step, for `augment`.
    """
    if augment is not None:
        return Augmented(backend, samples, batches, augment, check_targets, draw)
    columns = _columns(samples).values()
    nbytes = sum(column.nbytes for column in columns)
    if backend.holds(nbytes, not any(column.mapped for column in columns)):
        return Resident(backend, samples, batches)
    return Streamed(backend, samples, batches, check_targets)


def _columns(samples: Samples) -> dict[str, Rows]:
    """What is brought to the device, by name; targets that are the inputs once."""
    found = {"x": samples.x, "y": samples.y, "sample_weight": samples.weights}
    if samples.y is samples.x:
        del found["y"]
    return {
        name: column if isinstance(column, Rows) else Rows(column)
        for name, column in found.items()
        if column is not None
    }


class Resident(Feeder):
    """The data on the device, and memory for one batch of it; a batch of all rows is used where it lies.

    Bytes stay bytes there, a quarter of what floats take: gathering a batch turns them into numbers.
    """

    resident = True

    def __init__(self, backend: Backend, samples: Samples, batches: Batches) -> None:
        self.backend, self.own = backend, batches.own
        made = {
            name: _Column(backend, column, name, batches.most) for name, column in _columns(samples).items()
        }
        self.x, self.y, self.weights = made["x"], made.get("y", made["x"]), made.get("sample_weight")

    def whole(self) -> Batch:
        """All rows, in the network's type."""
        x = self.x.numbers()
        y = x if self.y is self.x else self.y.numbers()
        return x, y, None if self.weights is None else self.weights.numbers()

    def begin(self, order: HostArray | None) -> Array | None:
        """Upload the order."""
        return None if order is None else self.backend.asarray(order)

    def batch(self, number: int, order: Array | None) -> Batch:
        """Gather the rows on the device."""
        own = self.own[number]
        if order is None:
            return _cut(self.whole(), own)
        indices = order[own]
        x = self.x.take(indices)
        y = x if self.y is self.x else self.y.take(indices)
        return x, y, None if self.weights is None else self.weights.take(indices)


def _cut(batch: Batch, own: slice) -> Batch:
    """A rank's rows of a batch of all ranks."""
    x, y, weights = batch
    if own.stop - own.start == len(x):
        return batch
    return x[own], (x if y is x else y)[own], None if weights is None else weights[own]


class _Column:
    """Inputs, targets or weights on the device, and room for a batch of them."""

    def __init__(self, backend: Backend, held: Rows, name: str, rows: int) -> None:
        self.backend = backend
        self.dtype, self.divisor = held.dtype, held.divisor
        self.data = _uploaded(backend, held, name)
        self._rows = rows
        self._room: dict[int, Array] = {}

    def numbers(self) -> Array:
        """All of it; where it was bytes, it is turned into numbers for good."""
        if self.data.dtype != self.dtype:
            whole = self.backend.empty(self.data.shape, self.dtype)
            indices = self.backend.asarray(np.arange(len(self.data)))
            self.data = self.backend.gather(self.data, indices, whole, self.divisor)
        return self.data

    def take(self, indices: Array) -> Array:
        """The rows of a batch."""
        rows = indices.shape[0]
        out = self._room.get(rows)
        if out is None:  # fewer rows use the first of the room
            if not self._room:
                shape = (self._rows, *self.data.shape[1:])
                self._room[self._rows] = self.backend.empty(shape, self.dtype)
            out = self._room[rows] = self._room[self._rows][:rows]
        return self.backend.gather(self.data, indices, out, self.divisor)


def _uploaded(backend: Backend, rows: Rows, name: str) -> Array:
    """The rows on the device as they are kept there; several arrays, or mapped ones, a part at a time."""
    if len(rows.parts) == 1 and not rows.mapped:
        return backend.asarray(rows.parts[0])
    data = backend.empty(rows.shape, rows.kept)
    room = np.empty((CHECKED, *rows.shape[1:]), rows.kept)
    for start in range(0, len(rows), CHECKED):
        numbers = np.arange(start, min(start + CHECKED, len(rows)))
        part = rows.bring(numbers, room[: len(numbers)])
        if rows.mapped:
            check_finite(part, name, numbers)
        data[start : start + CHECKED] = backend.asarray(part)
    return data


class Streamed(Feeder):
    """The data on the host: while a batch is computed, a thread reads the next.

    There are two buffers, which take turns: one is trained on, the other read into. What lies in files is
    checked as it is read.
    """

    def __init__(self, backend: Backend, samples: Samples, batches: Batches, check_targets: Check) -> None:
        self.backend, self.own, self.check_targets = backend, batches.own, check_targets
        self.rows = len(samples)
        self.columns = _columns(samples)
        self.targets = "y" if "y" in self.columns else "x"
        self._rooms = {name: _Room(backend, column, batches.most) for name, column in self.columns.items()}
        self._reader = ThreadPoolExecutor(1, "nnx-reader")
        self._ahead: tuple[HostArray, int, int, Future[None]] | None = None

    def begin(self, order: HostArray | None) -> HostArray:
        """The numbers of all rows."""
        return np.arange(self.rows) if order is None else order

    def batch(self, number: int, order: HostArray) -> Batch:
        """Wait for the rows, send them, and let the thread read those of the next batch."""
        turn = self._awaited(order, number)
        rows = self.own[number].stop - self.own[number].start
        found = {name: room.send(rows, turn) for name, room in self._rooms.items()}
        if number + 1 < len(self.own):
            self._read(order, number + 1, 1 - turn)
        return found["x"], found[self.targets], found.get("sample_weight")

    def _awaited(self, order: HostArray, number: int) -> int:
        """Wait until a batch is read, or read it now if it is an epoch's first; return its buffer."""
        if self._ahead is not None and (self._ahead[0] is not order or self._ahead[1] != number):
            wait([self._ahead[3]])  # its rows, and its errors, are not needed
            self._ahead = None
        if self._ahead is None:
            self._read(order, number, 0)
        assert self._ahead is not None
        _, _, turn, reading = self._ahead
        self._ahead = None
        reading.result()
        return turn

    def _read(self, order: HostArray, number: int, turn: int) -> None:
        reading = self._reader.submit(self._fill, order[self.own[number]], turn)
        self._ahead = (order, number, turn, reading)

    def _fill(self, numbers: HostArray, turn: int) -> None:
        for name, column in self.columns.items():
            stored = self._rooms[name].read_into(numbers, turn)
            if column.mapped:
                check_finite(stored, name, numbers)
                if name == self.targets:
                    self.check_targets(column.values(stored) if column.kept == np.uint8 else stored)

    def close(self) -> None:
        """Let the thread end."""
        self._reader.shutdown(cancel_futures=True)


class _Room:
    """Room for two batches of one column, on the host and on the device."""

    def __init__(self, backend: Backend, column: Rows, rows: int) -> None:
        self.backend, self.column = backend, column
        shape = (rows, *column.shape[1:])
        self._turns = [backend.staging(shape, column.kept) for _ in range(2)]
        self._numbers = None if column.kept == column.dtype else backend.empty(shape, column.dtype)
        self._each = backend.asarray(np.arange(rows))

    def read_into(self, numbers: HostArray, turn: int) -> HostArray:
        """Read these rows, once those before have left."""
        staging = self._turns[turn]
        staging.wait()
        return self.column.bring(numbers, staging.host[: len(numbers)])

    def send(self, rows: int, turn: int) -> Array:
        """What was read, on the device and in the network's type."""
        sent = self._turns[turn].send(rows)
        if self._numbers is None:
            return sent
        return self.backend.gather(sent, self._each[:rows], self._numbers[:rows], self.column.divisor)


class Augmented(Feeder):
    """The data on the host: `augment` changes each batch there, before it is uploaded.

    Every rank augments the whole batch and takes its rows of it, so that their number changes nothing.
    """

    def __init__(
        self,
        backend: Backend,
        samples: Samples,
        batches: Batches,
        augment: Augmentation,
        check_targets: Check,
        draw: Draw,
    ) -> None:
        self.backend, self.samples, self.batches = backend, samples, batches
        self.augment, self.check_targets, self.draw = augment, check_targets, draw
        self.y_is_x = samples.y is samples.x
        rows = batches.bounds[0][1]
        self._room = {
            name: backend.empty((rows, *source.shape[1:]), source.dtype)
            for name, source in (("x", samples.x), ("y", samples.y))
        }

    def batch(self, number: int, order: HostArray) -> Batch:
        """Augment a batch and upload it."""
        shard = self.batches.shards[number]
        indices = order[slice(*self.batches.bounds[number])]
        return _cut(self._augmented(indices), slice(shard.start, shard.stop))

    def _augmented(self, indices: HostArray) -> Batch:
        """The rows of these numbers, as `augment` returns them."""
        inputs = self.samples.x[indices]
        targets = inputs if self.y_is_x else self.samples.y[indices]
        drawn = self.augment(self.draw(), inputs, targets)
        batch = []
        for (name, room), rows in zip(self._room.items(), drawn, strict=True):
            place = room[: len(indices)]
            if np.shape(rows) != place.shape or np.asarray(rows).dtype.kind != place.dtype.kind:
                raise DataError(
                    f"augment gave {name} of shape {np.shape(rows)}, {np.asarray(rows).dtype}, "
                    f"for a batch of shape {tuple(place.shape)}, {place.dtype}"
                )
            check_finite(rows, f"what augment gave for {name}")
            place[...] = self.backend.asarray(rows, place.dtype)
            batch.append(place)
        self.check_targets(drawn[1])
        weights = self.samples.weights
        return batch[0], batch[1], None if weights is None else self.backend.asarray(weights[indices])
