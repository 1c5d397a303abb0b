"""Rows on the host, checked before training touches them, and batches of them on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, DataError
from nnx.losses import CategoricalCrossEntropy, Loss

HostArray = np.ndarray[Any, Any]
Augmentation = Callable[[np.random.Generator, HostArray, HostArray], tuple[HostArray, HostArray]]


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
        if weights is not None and not (weights[:kept].any() and weights[kept:].any()):
            raise ConfigurationError(f"validation={fraction!r} leaves only weights of 0 on one side")
        return (
            Samples(self.x[:kept], self.y[:kept], None if weights is None else weights[:kept]),
            Samples(self.x[kept:], self.y[kept:], None if weights is None else weights[kept:]),
        )


def host_array(x: Any, name: str) -> HostArray:
    """`x` as a NumPy array of numbers; one that lies on a GPU is refused with advice.

    Raises
    ------
    DataError
        If it lies on a GPU, its rows are not equally long, or it does not hold numbers.
    """
    if hasattr(x, "__cuda_array_interface__"):
        raise DataError(f"{name} lies on a GPU, but host data is taken here: {name} = cupy.asnumpy({name})")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(f"{name} is not an array: its rows differ in length") from error
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold numbers, not {array.dtype}")
    return array


def check_rows(x: Any, name: str, dtype: Any) -> HostArray:
    """`x` on the host as finite numbers of shape (rows, features), in `dtype`.

    Raises
    ------
    DataError
        If it is empty, of another shape, not numeric or not finite; the text says what and where.
    """
    x = host_array(x, name)
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


class Batches:
    """The data on the device, and room for one batch of it; a full batch is used where it lies.

    Augmented data stays on the host: each batch is drawn there and uploaded.
    """

    def __init__(
        self,
        backend: Backend,
        samples: Samples,
        rows: int,
        augment: Augmentation | None,
        check_targets: Callable[[HostArray], None],
    ) -> None:
        self.backend, self.samples, self.augment = backend, samples, augment
        self.check_targets = check_targets
        whole = slice(None) if augment is None else slice(0, 1)  # augmented: for the shapes only
        self.x = backend.asarray(samples.x[whole])
        self.y = self.x if samples.y is samples.x else backend.asarray(samples.y[whole])
        self.weights = None if samples.weights is None else backend.asarray(samples.weights)
        self._room: dict[int, tuple[Array, Array, Array | None]] = {}
        if augment is not None or rows < len(samples):
            self._reserve(rows)
        self._rows = rows

    def _reserve(self, rows: int) -> None:
        def room(source: Array) -> Array:
            return self.backend.empty((rows, *source.shape[1:]), source.dtype)

        x = room(self.x)
        y = x if self.y is self.x and self.augment is None else room(self.y)
        weights = None if self.weights is None else room(self.weights)
        self._room[rows] = (x, y, weights)

    def _smaller(self, rows: int) -> tuple[Array, Array, Array | None]:
        """Room for a batch of fewer rows: the first of the whole."""
        x, y, weights = self._room[self._rows]
        first = x[:rows]
        room = (first, first if y is x else y[:rows], None if weights is None else weights[:rows])
        self._room[rows] = room
        return room

    def take(self, indices: Array, generator: Any) -> tuple[Array, Array, Array | None]:
        """The rows of a batch; with augmentation `indices` lie on the host and `generator` draws."""
        rows = indices.shape[0]
        x, y, weights = self._room.get(rows) or self._smaller(rows)
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
            if np.shape(rows) != room.shape or np.asarray(rows).dtype.kind != room.dtype.kind:
                raise DataError(
                    f"augment gave {name} of shape {np.shape(rows)}, {np.asarray(rows).dtype}, "
                    f"for a batch of shape {tuple(room.shape)}, {room.dtype}"
                )
            _check_finite(rows, f"what augment gave for {name}")
            room[...] = self.backend.asarray(rows, room.dtype)
        self.check_targets(drawn[1])
