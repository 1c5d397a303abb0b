"""Rows that lie on the network's GPU already: used there without a copy, and checked there with one read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from nnx.backends import Array, Backend, foreign
from nnx.data.rows import HostArray, Rows
from nnx.data.samples import Samples, check_axes, check_finite, host_array
from nnx.data.weights import refuse_unusable
from nnx.errors import DataError
from nnx.layers.integers import Limits
from nnx.losses import Loss


class DeviceRows:
    """A column on the network's device, with the type in which a step reads it.

    Bytes stay bytes, like those on the host: gathering a batch converts them.

    Parameters
    ----------
    backend : Backend
    data : array
        C-contiguous, of `dtype` or of bytes.
    dtype : numpy.dtype
        Type of the values.
    """

    divisor = 1.0
    nbytes = 0  # memory that they still need on the device
    mapped = False

    def __init__(self, backend: Backend, data: Array, dtype: Any) -> None:
        self.backend, self.data, self.dtype = backend, data, np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, …)."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, segment: slice) -> DeviceRows:
        return DeviceRows(self.backend, self.data[segment], self.dtype)

    def values(self) -> Array:
        """Return the rows in `dtype`."""
        return self.backend.asarray(self.data, self.dtype)

    def on_host(self) -> HostArray | Rows:
        """Return a copy on the host, as `nnx.data.samples` would store it."""
        host = self.backend.to_numpy(self.data)
        return Rows(host).astype(self.dtype) if host.dtype == np.uint8 and host.ndim > 1 else host


@dataclass
class DeviceSamples(Samples):
    """Checked rows on the network's device.

    `weights` is a copy on the host, where each batch's share of the epoch is computed; a step reads
    `device_weights`.
    """

    x: DeviceRows  # type: ignore[assignment]
    y: DeviceRows  # type: ignore[assignment]
    device_weights: DeviceRows | None = None

    def arrays(self) -> list[HostArray | None]:
        """Return copies on the host: a fingerprint is that of the same data on the host."""
        return self.on_host().arrays()

    def columns(self) -> dict[str, Any]:
        """Return the columns by name; without targets that are the inputs."""
        y = None if self.y is self.x else self.y
        found = {"x": self.x, "y": y, "sample_weight": self.device_weights}
        return {name: column for name, column in found.items() if column is not None}

    def read(self, segment: slice) -> tuple[Any, Any, Any]:
        """Return the inputs, targets and weights of some rows, on the device."""
        x = self.x[segment].values()
        y = x if self.y is self.x else self.y[segment].values()
        return x, y, None if self.device_weights is None else self.device_weights[segment].values()

    @cached_property
    def _host_targets(self) -> HostArray:
        return np.asarray(self.y.on_host())

    def targets(self) -> HostArray:
        """Return all targets on the host, for metrics; they are copied once."""
        return self._host_targets

    def on_host(self) -> Samples:
        """Return the same rows on the host."""
        x = self.x.on_host()
        return Samples(x, x if self.y is self.x else self.y.on_host(), self.weights, self.limits)

    def part(self, segment: slice) -> Samples:
        """Return some of the rows; they are not copied."""
        weights = None if self.weights is None else self.weights[segment]
        sent = None if self.device_weights is None else self.device_weights[segment]
        x = self.x[segment]
        return DeviceSamples(x, x if self.y is self.x else self.y[segment], weights, self.limits, sent)


class OnDevice:
    """Convert columns on the device, and check all their values with one read.

    The smallest and the largest value of a column say whether it is finite and within its range. They are
    computed on the device for all columns, and read together.
    """

    def __init__(self, backend: Backend, device: str, limits: Limits | None = None) -> None:
        self.backend, self.device, self.limits = backend, device, limits
        self._extremes: dict[str, tuple[Array, ...]] = {}

    def given(self, x: Any, name: str) -> Array:
        """Return a column as an array on the device; host data are copied there."""
        if foreign.on_gpu(x):
            return received(self.backend, x, name)
        return self.backend.asarray(host_array(np.asarray(x) if isinstance(x, Rows) else x, name))

    def rows(self, x: Any, name: str, dtype: Any) -> DeviceRows:
        """Return a column that steps can read: C-contiguous, in `dtype`, bytes as they are."""
        x = self.given(x, name)
        check_axes(x, name, dtype)
        with self.backend.hold():
            if dtype is not None and x.dtype not in (dtype, np.uint8):
                x = x.astype(dtype, order="C")
            data = self.backend.asarray(x)
            self._note(name, data)
        return DeviceRows(self.backend, data, data.dtype if dtype is None else dtype)

    def labels(self, y: Array) -> DeviceRows:
        """Return labels in the type that losses take."""
        if y.dtype.kind not in "iu":
            return DeviceRows(self.backend, y, y.dtype)
        with self.backend.hold():
            self._note("y", y)  # in their own type: numbers beyond int64 stay out of range
            data = self.backend.asarray(y if y.dtype == np.int64 else y.astype(np.int64))
        return DeviceRows(self.backend, data, np.int64)

    def _note(self, name: str, data: Array) -> None:
        xp = self.backend.xp
        self._extremes[name] = (xp.min(data).astype(np.float64), xp.max(data).astype(np.float64))

    def _note_between(self, name: str, data: Array) -> None:
        """Compute whether a value lies between the smallest and the largest, for losses of two values."""
        low, high, *_ = self._extremes[name]
        with self.backend.hold():
            between = self.backend.xp.any((data != low) & (data != high)).astype(np.float64)
        self._extremes[name] = (low, high, between)

    def samples(
        self,
        x: DeviceRows,
        y: DeviceRows,
        weights: DeviceRows | None,
        loss: Loss,
        features: int | tuple[int, ...],
    ) -> DeviceSamples:
        """Check all values, and return the columns."""
        targets = "x" if y is x else "y"
        if loss.decides and targets in self._extremes:
            self._note_between(targets, y.data)
        found = self._read()
        for name, column in (("x", x), ("y", y), ("sample_weight", weights)):
            if column is not None and not np.isfinite(found.get(name, (0.0,))).all():
                self._refuse(name, column.data)
        if self.limits is not None and not self.limits.hold(*found["x"][:2]):
            self.limits.refuse(x.data, "x", None, self.backend)
        low, high, *between = found.get(targets, (0.0, 0.0))
        own = type(loss).check_targets.__module__.startswith("nnx.")
        # a user's loss may check anything, on the host
        told = Extent(y, low, high, any(between)) if own else self.backend.to_numpy(y.data)
        loss.check_targets(told, features)
        if loss.bounded and y.data.dtype.kind == "f" and (low < 0.0 or high > 1.0):
            with self.backend.hold():
                y = DeviceRows(self.backend, self.backend.xp.clip(y.data, 0.0, 1.0), y.dtype)
        if weights is None:
            return DeviceSamples(x, y, limits=self.limits)
        data = weights.values().reshape(-1)
        on_host = self.backend.to_numpy(data)
        refuse_unusable(on_host)
        sent = DeviceRows(self.backend, data, weights.dtype)
        return DeviceSamples(x, y, on_host, self.limits, sent)

    def _read(self) -> dict[str, tuple[float, ...]]:
        """Return what was noted of each column; the only read of all checks."""
        if not self._extremes:
            return {}
        with self.backend.hold():
            every = self.backend.xp.stack([value for noted in self._extremes.values() for value in noted])
        numbers = iter(self.backend.to_numpy(every).tolist())
        return {name: tuple(islice(numbers, len(noted))) for name, noted in self._extremes.items()}

    def _refuse(self, name: str, data: Array) -> None:
        """Raise the error for a column with a value that is not finite; it names the row."""
        with self.backend.hold():
            xp = self.backend.xp
            row = int(xp.argmin(xp.all(xp.isfinite(data).reshape(len(data), -1), axis=1)))
        check_finite(self.backend.to_numpy(data[row : row + 1]), name, [row])


class Extent:
    """What the losses of nnx read of targets to check them: shape, type, smallest and largest value.

    `between` says whether other values lie between these two, for a loss that `decides`.
    """

    def __init__(self, y: DeviceRows, low: float, high: float, between: bool) -> None:
        self.shape, self.ndim, self.dtype, self.size = y.shape, y.ndim, y.data.dtype, int(y.data.size)
        self._low, self._high, self.between = low, high, between

    def min(self) -> float:
        """Return the smallest value."""
        return self._low

    def max(self) -> float:
        """Return the largest value."""
        return self._high


def received(backend: Backend, x: Any, name: str) -> Array:
    """Return an array of numbers on a GPU as one of the backend, without a copy.

    Raises
    ------
    DataError
        If it lies on another device, or does not hold numbers.
    """
    if not backend.owns(x):
        if foreign.place(x) != backend.device:
            raise DataError(foreign.elsewhere(x, name, backend.device))
        x = backend.asarray(x)
    if x.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold numbers, not {x.dtype}")
    return x
