"""Bring batches to the device: from rows that lie there already, streamed from the host, or augmented."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from nnx.backends import Array, Backend
from nnx.data.batches import Batches
from nnx.data.device_rows import DeviceRows
from nnx.data.rows import CHECKED, HostArray, Rows
from nnx.data.samples import Augmentation, Samples, check_finite
from nnx.data.sparse_rows import SparseRows
from nnx.errors import DataError
from nnx.layers.integers import Limits
from nnx.ops.sparse import SparseBatch
from nnx.ops.steps import PerStep

Batch = tuple[Array, Array, Array | None]
Check = Callable[[HostArray], None]
Draw = Callable[[], np.random.Generator]


class Feeder:
    """Bring batches to the device; `feeder` chooses the subclass that fits the data."""

    resident = False  # whether all rows lie on the device

    def begin(self, order: HostArray | None) -> Any:
        """Return the order of an epoch in the form for `batch`; None means all rows in their stored order."""
        return order

    def batch(self, number: int, order: Any) -> Batch:
        """Return inputs, targets and weights of this rank's rows of a batch.

        Repeated calls between two steps return the same values.
        """
        raise NotImplementedError

    def whole(self) -> Batch:
        """Return all rows in the network's dtype; only if they lie on the device."""
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
    sparse: bool = False,
) -> Feeder:
    """Return the feeder for the data: augmented on the host, resident on the device, or streamed to it.

    Parameters
    ----------
    check_targets : callable
        Checks targets that could not be checked before training: those in files, and those from `augment`.
    draw : callable
        Returns the random generator of the current step, for `augment`.
    sparse : bool
        Whether the network takes a `SparseBatch`. If not, batches of sparse rows are dense.
    """
    if augment is not None:
        return Augmented(backend, samples.on_host(), batches, augment, check_targets, draw)
    if isinstance(samples.x, SparseRows) and sparse:
        return Sparse(backend, samples, batches)
    if any(isinstance(column, SparseRows) for column in (samples.x, samples.y)):
        return Streamed(backend, samples, batches, check_targets)
    columns = samples.columns().values()
    nbytes = sum(column.nbytes for column in columns)
    if backend.holds(nbytes, not any(column.mapped for column in columns)):
        return Resident(backend, samples, batches)
    return Streamed(backend, samples, batches, check_targets)


class Resident(Feeder):
    """All data lie on the device, and batches are gathered there. One batch of all rows is not copied.

    Data that lay there before are read where they are.

    Bytes stay bytes on the device, which takes a quarter of the memory of float32. Gathering a batch converts
    them.
    """

    resident = True

    def __init__(self, backend: Backend, samples: Samples, batches: Batches) -> None:
        self.backend, self.own = backend, batches.own
        made = {
            name: _Column(backend, column, name, batches.most, samples.limits)
            for name, column in samples.columns().items()
        }
        self.x, self.y, self.weights = made["x"], made.get("y", made["x"]), made.get("sample_weight")

    def whole(self) -> Batch:
        """Return all rows in the network's dtype."""
        x = self.x.numbers()
        y = x if self.y is self.x else self.y.numbers()
        return x, y, None if self.weights is None else self.weights.numbers()

    def begin(self, order: HostArray | None) -> Array | None:
        """Upload the order."""
        return None if order is None else self.backend.asarray(order)

    def batch(self, number: int, order: Any) -> Batch:
        """Gather the rows on the device; with a `PerStep`, those of the next step, which is `number`."""
        own = self.own[number]
        if order is None:
            return _cut(self.whole(), own)
        counted = isinstance(order, PerStep)
        indices: Any = order.at(own.start - number * order.width) if counted else order[own]
        rows = own.stop - own.start
        x = self.x.take(indices, rows)
        y = x if self.y is self.x else self.y.take(indices, rows)
        return x, y, None if self.weights is None else self.weights.take(indices, rows)


def _cut(batch: Batch, own: slice) -> Batch:
    """Return a rank's rows of a batch of all ranks."""
    x, y, weights = batch
    if own.stop - own.start == len(x):
        return batch
    return x[own], (x if y is x else y)[own], None if weights is None else weights[own]


class _Column:
    """Inputs, targets or weights on the device, and memory for one batch of them."""

    def __init__(
        self, backend: Backend, held: Rows | DeviceRows, name: str, rows: int, limits: Limits | None
    ) -> None:
        self.backend = backend
        self.dtype, self.divisor = held.dtype, held.divisor
        self.data = held.data if isinstance(held, DeviceRows) else _uploaded(backend, held, name, limits)
        self._rows = rows
        self._outputs: dict[int, Array] = {}

    def numbers(self) -> Array:
        """Return all rows; bytes are converted once, and stay converted."""
        if self.data.dtype != self.dtype:
            whole = self.backend.empty(self.data.shape, self.dtype)
            indices = self.backend.asarray(np.arange(len(self.data)))
            self.data = self.backend.gather(self.data, indices, whole, self.divisor)
        return self.data

    def take(self, indices: Any, rows: int) -> Array:
        """Return the rows of a batch."""
        out = self._outputs.get(rows)
        if out is None:  # a smaller batch uses the first rows of the same memory
            if not self._outputs:
                shape = (self._rows, *self.data.shape[1:])
                self._outputs[self._rows] = self.backend.empty(shape, self.dtype)
            out = self._outputs.setdefault(rows, self._outputs[self._rows][:rows])
        return self.backend.gather(self.data, indices, out, self.divisor)


def _uploaded(backend: Backend, rows: Rows, name: str, limits: Limits | None) -> Array:
    """Copy rows to the device, in pieces if they are mapped from files or lie in several arrays."""
    if len(rows.arrays) == 1 and not rows.mapped:
        return backend.asarray(rows.arrays[0])
    data = backend.empty(rows.shape, rows.kept)
    buffer = np.empty((CHECKED, *rows.shape[1:]), rows.kept)
    for start in range(0, len(rows), CHECKED):
        numbers = np.arange(start, min(start + CHECKED, len(rows)))
        piece = rows.bring(numbers, buffer[: len(numbers)])
        if rows.mapped:
            check_finite(piece, name, numbers)
            if name == "x" and limits is not None:
                limits.check(piece, name, numbers)
        data[start : start + CHECKED] = backend.asarray(piece)
    return data


class Sparse(Feeder):
    """Sparse rows on the CPU: a batch has the non-zeros of its rows. Sparse targets become dense there."""

    def __init__(self, backend: Backend, samples: Samples, batches: Batches) -> None:
        self.own, self.rows, self.samples = batches.own, len(samples), samples
        columns = {"y": samples.y} | samples.columns()
        self.made: dict[str, _Column | _Dense] = {
            name: _Dense(column, batches.most)
            if isinstance(column, SparseRows)
            else _Column(backend, column, name, batches.most, None)
            for name, column in columns.items()
            if name != "x"
        }
        self._whole: SparseBatch | None = None

    def batch(self, number: int, order: HostArray | None) -> Batch:
        """Take the rows of a batch."""
        own = self.own[number]
        indices = np.arange(own.start, own.stop) if order is None else order[own]
        y, weights = self.made["y"].take(indices, len(indices)), self.made.get("sample_weight")
        return self._inputs(indices, order), y, weights and weights.take(indices, len(indices))

    def _inputs(self, indices: HostArray, order: HostArray | None) -> SparseBatch:
        """Return the inputs; one batch of all rows is sorted by column only once."""
        rows = self.samples.x
        assert isinstance(rows, SparseRows)
        if order is not None or len(indices) < self.rows:
            return rows.batch(indices)
        self._whole = self._whole or rows.batch()
        return self._whole


class _Dense:
    """Sparse targets, and memory for one dense batch of them."""

    def __init__(self, held: SparseRows, rows: int) -> None:
        self.held, self._memory = held, np.empty((rows, held.shape[1]), held.dtype)

    def take(self, indices: HostArray, rows: int) -> HostArray:
        """Return the rows of a batch."""
        return self.held.bring(indices, self._memory[:rows])


class Streamed(Feeder):
    """The data stay on the host or in files: a thread reads the next batch while a step runs.

    Two buffers take turns: a step uses one while the thread fills the other. Rows from files are checked when
    they are read.
    """

    def __init__(self, backend: Backend, samples: Samples, batches: Batches, check_targets: Check) -> None:
        self.backend, self.own, self.check_targets = backend, batches.own, check_targets
        self.rows, self.limits = len(samples), samples.limits
        self.columns = samples.columns()
        self.targets = "y" if "y" in self.columns else "x"
        self._buffers = {
            name: _Buffers(backend, column, batches.most) for name, column in self.columns.items()
        }
        self._reader = ThreadPoolExecutor(1, "nnx-reader")
        self._ahead: tuple[HostArray, int, int, Future[None]] | None = None

    def begin(self, order: HostArray | None) -> HostArray:
        """Return the numbers of the rows in their order."""
        return np.arange(self.rows) if order is None else order

    def batch(self, number: int, order: HostArray) -> Batch:
        """Wait for the rows, send them to the device, and start to read the next batch."""
        turn = self._awaited(order, number)
        rows = self.own[number].stop - self.own[number].start
        found = {name: buffers.send(rows, turn) for name, buffers in self._buffers.items()}
        if number + 1 < len(self.own):
            self._read(order, number + 1, 1 - turn)
        return found["x"], found[self.targets], found.get("sample_weight")

    def _awaited(self, order: HostArray, number: int) -> int:
        """Wait until a batch is read, and return the number of its buffer; an epoch's first is read now."""
        if self._ahead is not None and (self._ahead[0] is not order or self._ahead[1] != number):
            wait([self._ahead[3]])  # neither its rows nor its errors are needed
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
            stored = self._buffers[name].read(numbers, turn)
            if column.mapped:
                check_finite(stored, name, numbers)
                if name == "x" and self.limits is not None:
                    self.limits.check(stored, name, numbers)
                if name == self.targets:
                    self.check_targets(column.values(stored) if column.kept == np.uint8 else stored)

    def close(self) -> None:
        """End the thread."""
        self._reader.shutdown(cancel_futures=True)


class _Buffers:
    """Memory for two batches of one column, on the host and on the device."""

    def __init__(self, backend: Backend, column: Rows, rows: int) -> None:
        self.backend, self.column = backend, column
        shape = (rows, *column.shape[1:])
        self._staging = [backend.staging(shape, column.kept) for _ in range(2)]
        self._numbers = None if column.kept == column.dtype else backend.empty(shape, column.dtype)
        self._indices = backend.asarray(np.arange(rows))

    def read(self, numbers: HostArray, turn: int) -> HostArray:
        """Read rows into a buffer, after its earlier rows were copied to the device."""
        staging = self._staging[turn]
        staging.wait()
        return self.column.bring(numbers, staging.host[: len(numbers)])

    def send(self, rows: int, turn: int) -> Array:
        """Return the rows that were read, on the device and in the network's dtype."""
        sent = self._staging[turn].send(rows)
        if self._numbers is None:
            return sent
        return self.backend.gather(sent, self._indices[:rows], self._numbers[:rows], self.column.divisor)


class Augmented(Feeder):
    """The data stay on the host: `augment` changes each batch there, then it is copied to the device.

    Every rank augments the whole batch and takes its own rows, so the number of ranks does not matter.
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
        rows, columns = batches.bounds[0][1], {"x": samples.x, "y": samples.y}
        if samples.weights is not None:
            columns["weights"] = samples.weights
        self._buffers = {
            name: backend.empty((rows, *source.shape[1:]), source.dtype) for name, source in columns.items()
        }

    def batch(self, number: int, order: HostArray) -> Batch:
        """Augment a batch and copy it to the device."""
        shard = self.batches.shards[number]
        indices = order[slice(*self.batches.bounds[number])]
        return _cut(self._augmented(indices), slice(shard.start, shard.stop))

    def _augmented(self, indices: HostArray) -> Batch:
        """Return the rows with these numbers, changed by `augment`."""
        inputs = self.samples.x[indices]
        targets = inputs if self.y_is_x else self.samples.y[indices]
        changed = self.augment(self.draw(), inputs, targets)
        for name, rows in zip(("x", "y"), changed, strict=True):
            out = self._buffers[name][: len(indices)]
            if np.shape(rows) != out.shape or np.asarray(rows).dtype.kind != out.dtype.kind:
                raise DataError(
                    f"augment returned {name} of shape {np.shape(rows)} and type {np.asarray(rows).dtype}: "
                    f"it must return the shape {tuple(out.shape)} and the type {out.dtype} of the batch"
                )
            check_finite(rows, f"{name} from augment")
            if name == "x" and self.samples.limits is not None:
                self.samples.limits.check(np.asarray(rows), "x from augment")
            out[...] = self.backend.asarray(rows, out.dtype)
        self.check_targets(changed[1])
        if self.samples.weights is not None:
            out = self._buffers["weights"][: len(indices)]
            out[...] = self.backend.asarray(self.samples.weights[indices], out.dtype)
        found = {name: buffer[: len(indices)] for name, buffer in self._buffers.items()}
        return found["x"], found["y"], found.get("weights")
