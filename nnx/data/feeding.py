"""How rows reach a training step: from the device, streamed to it where they do not fit, or drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from nnx.backends import Array, Backend
from nnx.data.rows import CHECKED, HostArray, Rows
from nnx.data.samples import Augmentation, Samples, check_finite
from nnx.errors import DataError

Batch = tuple[Array, Array, Array | None]
Check = Callable[[HostArray], None]


def batches(
    backend: Backend, samples: Samples, rows: int, augment: Augmentation | None, check_targets: Check
) -> Resident | Streamed | Drawn:
    """The way that serves these samples, with room for batches of so many rows."""
    if augment is not None:
        return Drawn(backend, samples, rows, augment, check_targets)
    columns = _columns(samples).values()
    nbytes = sum(column.nbytes for column in columns)
    if backend.holds(nbytes, not any(column.mapped for column in columns)):
        return Resident(backend, samples, rows)
    return Streamed(backend, samples, rows, check_targets)


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


def gather(backend: Backend, source: Array, indices: Array, out: Array, divisor: float) -> Array:
    """`Backend.gather` of rows of any shape: the backends' kernels see them as rows of numbers."""
    if source.ndim > 2:
        backend.gather(source.reshape(len(source), -1), indices, out.reshape(len(out), -1), divisor)
        return out
    return backend.gather(source, indices, out, divisor)


class Resident:
    """The data on the device, and room for one batch of it; a full batch is used where it lies.

    Bytes stay bytes there, a quarter of what floats take: gathering a batch turns them into numbers.
    """

    def __init__(self, backend: Backend, samples: Samples, rows: int) -> None:
        self.backend = backend
        made = {name: _Column(backend, column, name, rows) for name, column in _columns(samples).items()}
        self.x, self.y, self.weights = made["x"], made.get("y", made["x"]), made.get("sample_weight")

    def whole(self) -> Batch:
        """All rows, in the network's type."""
        x = self.x.numbers()
        y = x if self.y is self.x else self.y.numbers()
        return x, y, None if self.weights is None else self.weights.numbers()

    def ordered(self, order: HostArray) -> Array:
        """An epoch's order, where batches are gathered."""
        return self.backend.asarray(order)

    def take(self, order: Array, own: slice, following: slice | None = None) -> Batch:
        """The rows that stand there in the order."""
        indices = order[own]
        x = self.x.take(indices)
        y = x if self.y is self.x else self.y.take(indices)
        return x, y, None if self.weights is None else self.weights.take(indices)


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
            self.data = gather(self.backend, self.data, indices, whole, self.divisor)
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
        return gather(self.backend, self.data, indices, out, self.divisor)


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


class Streamed:
    """The data on the host: while a batch is computed, a thread reads the next.

    There are two buffers, which take turns: one is trained on, the other read into. What lies in files is
    checked as it is read.
    """

    def __init__(self, backend: Backend, samples: Samples, rows: int, check_targets: Check) -> None:
        self.backend, self.check_targets = backend, check_targets
        self.columns = _columns(samples)
        self.targets = "y" if "y" in self.columns else "x"
        self._rooms = {name: _Room(backend, column, rows) for name, column in self.columns.items()}
        self._reader = ThreadPoolExecutor(1, "nnx-reader")
        self._ahead: tuple[HostArray, slice, int, Future[None]] | None = None

    def ordered(self, order: HostArray) -> HostArray:
        """An epoch's order, where batches are gathered."""
        return order

    def take(self, order: HostArray, own: slice, following: slice | None = None) -> Batch:
        """The rows that stand there in the order; those that follow are read meanwhile."""
        turn = self._awaited(order, own)
        rows = own.stop - own.start
        found = {name: room.send(rows, turn) for name, room in self._rooms.items()}
        if following is not None:
            self._read(order, following, 1 - turn)
        return found["x"], found[self.targets], found.get("sample_weight")

    def _awaited(self, order: HostArray, own: slice) -> int:
        """The turn in which these rows are read: since the batch before or, an epoch's first, from now on."""
        if self._ahead is not None and (self._ahead[0] is not order or self._ahead[1] != own):
            wait([self._ahead[3]])  # what it read, or met, concerns nobody any more
            self._ahead = None
        if self._ahead is None:
            self._read(order, own, 0)
        assert self._ahead is not None
        _, _, turn, reading = self._ahead
        self._ahead = None
        reading.result()
        return turn

    def _read(self, order: HostArray, own: slice, turn: int) -> None:
        self._ahead = (order, own, turn, self._reader.submit(self._fill, order[own], turn))

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
        return gather(self.backend, sent, self._each[:rows], self._numbers[:rows], self.column.divisor)


class Drawn:
    """Augmented data stays on the host: each batch is drawn there and uploaded."""

    def __init__(
        self, backend: Backend, samples: Samples, rows: int, augment: Augmentation, check_targets: Check
    ) -> None:
        self.backend, self.samples, self.augment = backend, samples, augment
        self.check_targets = check_targets
        self.y_is_x = samples.y is samples.x
        self._room = {
            name: backend.empty((rows, *source.shape[1:]), source.dtype)
            for name, source in (("x", samples.x), ("y", samples.y))
        }

    def ordered(self, order: HostArray) -> HostArray:
        """An epoch's order, where batches are gathered."""
        return order

    def take(self, indices: HostArray, generator: np.random.Generator) -> Batch:
        """The rows of these numbers, as `augment` gives them back; `generator` draws."""
        inputs = self.samples.x[indices]
        targets = inputs if self.y_is_x else self.samples.y[indices]
        drawn = self.augment(generator, inputs, targets)
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
