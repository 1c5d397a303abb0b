"""`fit` and `evaluate`: epochs, batches, and what is recorded of them.

A network is known here by the calls made on it (`plan`, `arena`, `predict`, …) and never imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx import initializers
from nnx.backends import Array, Backend
from nnx.callbacks import Callback, History, Run
from nnx.errors import ConfigurationError, DataError, TrainingError
from nnx.layers.plan import Plan
from nnx.losses import CategoricalCrossEntropy, Loss
from nnx.metrics import Metric
from nnx.metrics import get as get_metric
from nnx.optimizers import Optimizer

HostArray = np.ndarray[Any, Any]
Augmentation = Callable[[np.random.Generator, HostArray, HostArray], tuple[HostArray, HostArray]]
EVALUATION_ROWS = 1024


@dataclass
class Samples:
    """Rows on the host, checked: inputs, targets, weights."""

    x: HostArray
    y: HostArray
    weights: HostArray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def split(self, fraction: float) -> tuple[Samples, Samples]:
        """The first rows for training, the last `fraction` for validation, before any shuffle as in Keras."""
        kept = len(self) - round(len(self) * fraction)
        if not 0.0 < fraction < 1.0 or not 0 < kept < len(self):
            raise ConfigurationError(
                f"validation={fraction!r} leaves no rows on one side of {len(self)}: "
                "give a fraction in (0, 1)"
            )
        weights = self.weights
        return (
            Samples(self.x[:kept], self.y[:kept], None if weights is None else weights[:kept]),
            Samples(self.x[kept:], self.y[kept:], None if weights is None else weights[kept:]),
        )


def host_array(x: Any, name: str) -> HostArray:
    """`x` as a NumPy array; an array that lies on a GPU is refused with advice.

    Raises
    ------
    DataError
        If it lies on a GPU, or its rows are not equally long.
    """
    if hasattr(x, "__cuda_array_interface__"):
        raise DataError(f"{name} lies on a GPU, but host data is taken here: {name} = cupy.asnumpy({name})")
    try:
        return np.asarray(x)
    except ValueError as error:
        raise DataError(f"{name} is no array: {error}") from error


def check_rows(x: Any, name: str, dtype: Any) -> HostArray:
    """`x` on the host as finite numbers of shape (rows, features), in `dtype`.

    Raises
    ------
    DataError
        If it is empty, of another shape, not numeric or not finite; the text says what and where.
    """
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise DataError(f"{name} is not an array: its rows differ in length") from error
    if x.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold numbers, not {x.dtype}")
    if x.ndim == 1:
        raise DataError(f"{name} of shape {x.shape} must have two dimensions: {name}.reshape(-1, 1)?")
    if x.ndim != 2 or x.size == 0:
        raise DataError(f"{name} must have shape (rows, features), neither of them 0, not {x.shape}")
    with np.errstate(over="ignore"):  # what does not fit in dtype becomes infinite, and is named below
        rows: HostArray = np.ascontiguousarray(x, dtype=dtype)
    _check_finite(rows, name)
    return rows


def _check_finite(x: HostArray, name: str) -> None:
    for start in range(0, len(x), 4096):  # a part at a time: no mask as large as the data
        finite = np.isfinite(x[start : start + 4096])
        if not finite.all():
            row = start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            raise DataError(f"{name} has a value that is NaN or infinite, first in row {row}")


def check_samples(network: Any, loss: Loss, x: Any, y: Any, weights: Any = None) -> Samples:
    """Inputs, targets and weights that fit each other, the network and the loss.

    Raises
    ------
    DataError
        If they do not; the text names the shapes, the row or the range.
    """
    same = y is x
    rows = check_rows(x, "x", network.dtype)
    network.build(rows.shape[1])
    if same:
        y = rows
    else:
        y = host_array(y, "y")
        if len(y.shape) == 0 or len(y) != len(rows):
            raise DataError(f"x of shape {rows.shape} and y of shape {y.shape} must have as many rows")
        if y.ndim == 1 and isinstance(loss, CategoricalCrossEntropy):
            if y.dtype.kind in "iu":
                y = y.astype(np.int64)
        else:
            y = check_rows(y.reshape(-1, 1) if y.ndim == 1 else y, "y", network.dtype)
    loss.check_targets(y, network.outputs)
    if weights is not None:
        if np.shape(weights) != (len(rows),):
            raise DataError(f"sample_weight of shape {np.shape(weights)} does not fit {len(rows)} rows")
        weights = check_rows(np.reshape(weights, (-1, 1)), "sample_weight", network.dtype).reshape(-1)
        if weights.min() < 0.0 or not weights.any():
            raise DataError("sample_weight must not be negative, nor zero everywhere")
    return Samples(rows, y, weights)


class _Batches:
    """The data on the device, and room for one batch of it; a full batch is used where it lies.

    Augmented data stays on the host: each batch is drawn there and uploaded.
    """

    def __init__(self, backend: Backend, samples: Samples, rows: int, augment: Augmentation | None) -> None:
        self.backend, self.samples, self.augment = backend, samples, augment
        whole = slice(None) if augment is None else slice(0, 1)  # augmented: for the shapes only
        self.x = backend.asarray(samples.x[whole])
        self.y = self.x if samples.y is samples.x else backend.asarray(samples.y[whole])
        self.weights = None if samples.weights is None else backend.asarray(samples.weights)
        self._room: dict[int, tuple[Array, Array, Array | None]] = {}
        if augment is not None or rows < len(samples):
            self._reserve(rows, len(samples) % rows)

    def _reserve(self, rows: int, ragged: int) -> None:
        def room(source: Array) -> Array:
            return self.backend.empty((rows, *source.shape[1:]), source.dtype)

        x = room(self.x)
        y = x if self.y is self.x and self.augment is None else room(self.y)
        weights = None if self.weights is None else room(self.weights)
        self._room[rows] = (x, y, weights)
        if ragged:
            self._room[ragged] = (
                x[:ragged],
                x[:ragged] if y is x else y[:ragged],
                None if weights is None else weights[:ragged],
            )

    def take(self, indices: Array, generator: np.random.Generator | None) -> tuple[Array, Array, Array | None]:
        """The rows of a batch; with augmentation `indices` lie on the host, `generator` draws for them."""
        x, y, weights = self._room[indices.shape[0]]
        if self.augment is not None:
            self._draw(indices, generator, x, y)
        else:
            self.backend.gather(self.x, indices, x)
            if y is not x:
                self.backend.gather(self.y, indices, y)
        if self.weights is not None:
            self.backend.gather(self.weights, self.backend.asarray(indices), weights)
        return x, y, weights

    def _draw(self, indices: Array, generator: Any, x: Array, y: Array) -> None:
        assert self.augment is not None
        inputs = self.samples.x[indices]
        targets = inputs if self.samples.y is self.samples.x else self.samples.y[indices]
        drawn = self.augment(generator, inputs, targets)
        for name, room, rows in zip("xy", (x, y), drawn, strict=True):
            if np.shape(rows) != room.shape:
                raise DataError(f"augment gave {name} of shape {np.shape(rows)} for a batch of {room.shape}")
            room[...] = self.backend.asarray(rows, room.dtype)


class _Loop:
    """One run of `fit`: owns the batches, the plan, and the place where losses gather."""

    def __init__(
        self,
        network: Any,
        samples: Samples,
        loss: Loss,
        optimizer: Optimizer,
        batch_size: int,
        shuffle: bool,
        augment: Augmentation | None = None,
    ) -> None:
        self.network, self.loss, self.optimizer = network, loss, optimizer
        optimizer.prepare(network)
        self.arena = network.arena
        with self.arena.backend.hold():
            self.arena.gradients[...] = 0.0  # what an earlier fault left in layers outside this slice
        self.backend: Backend = self.arena.backend
        self.rows = len(samples)
        self.shuffle = shuffle
        self.batches = _Batches(self.backend, samples, batch_size, augment)
        self.plan: Plan
        self.plan, self.kind = network.training_plan(loss)
        starts = list(range(0, self.rows, batch_size))
        self.bounds = [(start, min(start + batch_size, self.rows)) for start in starts]
        self.losses = self.backend.zeros(len(starts), self.arena.dtype)
        self.slots = [self.losses[i : i + 1] for i in range(len(starts))]
        self.shares = [(stop - start) / self.rows for start, stop in self.bounds]  # in the epoch's mean loss
        width = network.outputs
        self._dy = {
            stop - start: self.backend.empty((stop - start, width), self.arena.dtype)
            for start, stop in {(0, b - a) for a, b in self.bounds}
        }

    def order(self, generator: np.random.Generator) -> Array | None:
        """The epoch's rows in order, uploaded once; None where one batch holds all of them as they are."""
        if len(self.bounds) == 1 and self.batches.augment is None:
            return None
        order = generator.permutation(self.rows) if self.shuffle else np.arange(self.rows)
        return order if self.batches.augment is not None else self.backend.asarray(order)

    def step(self, x: Array, y: Array, weights: Array | None, slot: Array) -> None:
        """Forward, loss, backward."""
        y_pred = self.plan.forward(x, True)
        dy = self._dy[x.shape[0]]
        self.loss.evaluate(self.backend, y, y_pred, slot, dy, weights, self.kind)
        self.plan.backward(dy)

    def batch(self, order: Array | None, number: int, epoch: int) -> tuple[Array, Array, Array | None]:
        """Inputs, targets and weights of a batch: the same again whenever it is asked for."""
        if order is None:
            return self.batches.x, self.batches.y, self.batches.weights
        start, stop = self.bounds[number]
        generator = None
        if self.batches.augment is not None:
            generator = initializers.generator(self.arena.seed, "augmentation", epoch, number)
        return self.batches.take(order[start:stop], generator)

    def epoch(self, run: Run, generator: np.random.Generator, on_step: Sequence[Callback]) -> float:
        """Train on every row once; the mean loss."""
        order = self.order(generator)
        arena, backend, fault = self.arena, self.backend, self.arena.fault
        first = arena.step
        state = arena.state.copy()
        for number, slot in enumerate(self.slots):
            x, y, weights = self.batch(order, number, run.epoch)
            self.step(x, y, weights, slot)
            backend.raise_fault(slot, arena.gradients, fault, number + 1)
            if backend.immediate and fault[0]:
                break
            self.optimizer.step(self.network)
            run.step += 1
            for callback in on_step:
                callback.on_step_end(run)
        number = int(fault[0])
        if number:
            try:
                self._explain(run, order, number - 1, first)
            finally:
                arena.state[...] = state  # the forward passes at fault have put them into running statistics
        return self._mean()

    def _mean(self) -> float:
        if len(self.shares) == 1:
            return float(self.losses[0])
        return float(np.dot(self.backend.to_numpy(self.losses).astype(np.float64), self.shares))

    def _explain(self, run: Run, order: Array | None, number: int, first: int) -> None:
        """Run the batch again, parameters being as they were, and name the first layer at fault."""
        self.arena.fault[...] = 0
        self.arena.step = first + number
        x, y, weights = self.batch(order, number, run.epoch)
        self.step(x, y, weights, self.slots[number])
        where = self._first_fault()
        raise TrainingError(
            f"epoch {run.epoch + 1}, batch {number + 1}: the loss is {float(self.losses[number]):g} and "
            f"{where} is not finite; the parameters are as before this batch: lower the learning rate, or "
            "clip the gradients (clip_norm=1)"
        )

    def _first_fault(self) -> str:
        def finite(array: Array) -> bool:
            return bool(np.isfinite(self.backend.to_numpy(array)).all())

        for layer, output in self.plan.outputs():
            if not finite(output):
                return f"the output of {layer.name}"
        for layer, _ in reversed(self.plan.outputs()):
            for name, _, gradient in layer.named_parameters():
                if not finite(gradient):
                    return f"the gradient of {layer.name}.{name}"
        return "the loss"


def fit(
    network: Any,
    x: Any,
    y: Any,
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int = 1,
    batch_size: int = 32,
    validation: float | tuple[Any, ...] | None = None,
    metrics: Sequence[str | Metric] = (),
    callbacks: Sequence[Callback] = (),
    shuffle: bool = True,
    sample_weight: Any = None,
    augment: Augmentation | None = None,
) -> History:
    """Train a network; see `Network.fit`, which hands itself to this function."""
    if not isinstance(loss, Loss) or not isinstance(optimizer, Optimizer):
        raise ConfigurationError(
            "fit takes loss=nnx.MeanSquaredError() or another nnx loss, and optimizer=nnx.Adam(…) or another "
            f"nnx optimizer, not {loss!r} and {optimizer!r}"
        )
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise ConfigurationError(f"{name} must be a positive integer, not {value!r}")
    samples = check_samples(network, loss, x, y, sample_weight)
    held_out: Samples | None = None
    if isinstance(validation, tuple):
        held_out = check_samples(network, loss, *validation)
    elif validation is not None:
        samples, held_out = samples.split(validation)
    if batch_size > len(samples):
        raise ConfigurationError(
            f"batch_size={batch_size} is larger than the {len(samples)} rows to train on: give at most that"
        )
    chosen = [get_metric(metric) for metric in metrics]
    if chosen and held_out is None:
        raise ConfigurationError("metrics are taken on validation data: give validation=0.1 or (x, y)")
    loop = _Loop(network, samples, loss, optimizer, batch_size, shuffle, augment)
    run = Run(network, optimizer, History(), epochs, len(loop.bounds))
    return _run(loop, run, callbacks, held_out, chosen)


def _run(
    loop: _Loop,
    run: Run,
    callbacks: Sequence[Callback],
    held_out: Samples | None,
    metrics: list[tuple[str, Metric]],
) -> History:
    history = run.history
    recorded = history.metrics
    generator = initializers.generator(loop.arena.seed, "shuffles")
    on_step = [c for c in callbacks if type(c).on_step_end is not Callback.on_step_end]
    began = time.perf_counter()
    for callback in callbacks:
        callback.on_train_begin(run)
    try:
        with loop.backend.hold(), loop.backend.quiet():
            for epoch in range(1, run.epochs + 1):
                epoch_began = time.perf_counter()
                value = loop.epoch(run, generator, on_step)
                history.training_seconds += time.perf_counter() - epoch_began
                run.epoch = epoch
                history.epochs.append(epoch)
                recorded.setdefault("loss", []).append(value)
                if held_out is not None:
                    for name, result in _evaluate(loop.network, held_out, loop.loss, metrics).items():
                        recorded.setdefault(f"val_{name}", []).append(result)
                for callback in callbacks:
                    callback.on_epoch_end(run)
                if run.stop:
                    break
    finally:
        history.steps = run.step
        for callback in callbacks:
            callback.on_train_end(run)
        history.seconds = time.perf_counter() - began
    return history


def evaluate(
    network: Any, x: Any, y: Any, loss: Loss, metrics: Sequence[str | Metric] = (), sample_weight: Any = None
) -> dict[str, float]:
    """The loss and metrics of a network on data; see `Network.evaluate`."""
    samples = check_samples(network, loss, x, y, sample_weight)
    return _evaluate(network, samples, loss, [get_metric(metric) for metric in metrics])


def _evaluate(
    network: Any, samples: Samples, loss: Loss, metrics: list[tuple[str, Metric]]
) -> dict[str, float]:
    y_pred = network.predict(samples.x)
    backend: Backend = network.arena.backend
    total, weight = 0.0, 0.0
    for start in range(0, len(samples), EVALUATION_ROWS):
        part = slice(start, start + EVALUATION_ROWS)
        weights = None if samples.weights is None else samples.weights[part]
        share = float(len(y_pred[part]) if weights is None else weights.sum())
        if share:
            value = loss(
                backend.asarray(samples.y[part]),
                backend.asarray(y_pred[part]),
                None if weights is None else backend.asarray(weights),
            )
            total, weight = total + share * float(value), weight + share
    results = {"loss": total / weight}
    for name, metric in metrics:
        results[name] = float(metric(samples.y, y_pred))
    return results
