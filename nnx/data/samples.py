"""Check rows on the host before training uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnx.backends import foreign
from nnx.backends.host_memory import reserve
from nnx.data.rows import CHECKED, HostArray, Rows
from nnx.data.sparse_rows import SparseRows, is_sparse, sparse_rows
from nnx.data.weights import refuse_unusable
from nnx.errors import ConfigurationError, DataError
from nnx.layers.integers import Limits
from nnx.losses import Loss

REAL = (bool, int, float, np.bool_, np.integer, np.floating)
Augmentation = Callable[[np.random.Generator, HostArray, HostArray], tuple[HostArray, HostArray]]
READ_WHOLE = 2**26  # bytes: files up to this size are read into memory as a whole


@dataclass
class Samples:
    """Checked rows on the host: inputs, targets, weights.

    Values in mapped files are checked when they are read (`check_finite`).

    Attributes
    ----------
    limits : Limits or None
        The integers that the network takes as x; None if it takes floats.
    """

    x: HostArray | Rows | SparseRows
    y: HostArray | Rows | SparseRows
    weights: HostArray | None = None
    limits: Limits | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Numbers of rows of the blocks within which rows are shuffled: all rows, or those of each array."""
        return self.x.blocks if isinstance(self.x, Rows) else (len(self.x),)

    def arrays(self) -> list[HostArray | None]:
        """Return everything that determines the values, for a fingerprint."""
        columns = (self.x, self.y, self.weights)
        return [
            a
            for column in columns
            for a in (column.made_of() if isinstance(column, Rows | SparseRows) else [column])
        ]

    def columns(self) -> dict[str, Any]:
        """Return the columns to bring to the device, by name; without targets that are the inputs."""
        found = {"x": self.x, "y": self.y, "sample_weight": self.weights}
        if self.y is self.x:
            del found["y"]
        return {
            name: column if isinstance(column, Rows | SparseRows) else Rows(column)
            for name, column in found.items()
            if column is not None
        }

    def read(self, segment: slice) -> tuple[Any, Any, Any]:
        """Return the inputs, targets and weights of some rows as arrays; errors as for `check_finite`.

        Sparse inputs are returned as `SparseRows`; sparse targets become dense.
        """
        x = self.x[segment] if isinstance(self.x, SparseRows) else _read(self.x, segment, "x")
        if self.limits is not None and isinstance(self.x, Rows) and self.x.mapped:
            self.limits.check(x, "x", range(segment.start, segment.stop))
        y = x if self.y is self.x and not isinstance(x, SparseRows) else _read(self.y, segment, "y")
        return x, y, None if self.weights is None else self.weights[segment]

    def targets(self) -> HostArray:
        """Return all targets on the host, for metrics."""
        return np.asarray(self.y)

    def on_host(self) -> Samples:
        """Return the same rows on the host."""
        return self

    def part(self, segment: slice) -> Samples:
        """Return some of the rows; they are not copied."""
        weights = None if self.weights is None else self.weights[segment]
        x = self.x[segment]
        return replace(self, x=x, y=x if self.y is self.x else self.y[segment], weights=weights)

    def split(self, fraction: float) -> tuple[Samples, Samples]:
        """Split into the first rows for training and the last `fraction` for validation, without a shuffle.

        Keras splits in the same way.

        Raises
        ------
        ConfigurationError
            If one part would have no rows, or no row with a weight above 0.
        """
        kept = len(self) - round(len(self) * fraction)
        if not 0.0 < fraction < 1.0 or not 0 < kept < len(self):
            raise ConfigurationError(
                f"validation={fraction!r} of {len(self)} rows leaves no rows to train on or to validate on: "
                "choose another fraction in (0, 1)"
            )
        weights = self.weights
        if weights is not None and not (weights[:kept].any() and weights[kept:].any()):
            raise ConfigurationError(
                f"validation={fraction!r} leaves only rows of weight 0 to train on or to validate on: choose "
                "another fraction, or give validation=(x, y, weights)"
            )
        return self.part(slice(kept)), self.part(slice(kept, len(self)))


def host_array(x: Any, name: str) -> HostArray:
    """Return data of any library as a NumPy array of numbers.

    Raises
    ------
    DataError
        If `x` lies on a GPU, cannot be converted (its rows differ in length, …), or does not hold numbers.
    """
    if foreign.on_gpu(x):
        raise DataError(
            f"{name} lies on {foreign.place(x)}, but must lie on the host: {foreign.to_host(x, name)}"
        )
    array = foreign.as_numpy(x, name)
    if array.dtype.kind == "O" and all(isinstance(value, REAL) for value in array.flat):
        array = array.astype(np.float64)  # a data frame whose columns have different types
    if name == "y" and (array.dtype.kind in "UT" or (array.size and isinstance(array.flat[0], str))):
        raise DataError("y holds text, not numbers: use names, y = np.unique(y, return_inverse=True)")
    if array.dtype.kind not in "fiub":
        cast = ": cast it to float32" if "float" in array.dtype.name else ""
        raise DataError(f"{name} must hold numbers, not {array.dtype}{cast}")
    return array


def check_rows(x: Any, name: str, dtype: Any) -> HostArray | Rows | SparseRows:
    """Return `x` as finite numbers of shape (rows, …) in `dtype`; bytes and large mapped files stay `Rows`.

    Sparse matrices become `SparseRows`.

    If `dtype` is None, `x` must hold integers, and they keep their type.

    Raises
    ------
    DataError
        If `x` is empty, has fewer than two axes, or holds values that are not finite numbers; the text says
        what is wrong, and in which row.
    OutOfMemoryError
        If the host has too little memory for a copy.
    """
    if is_sparse(x):
        if dtype is None:
            raise DataError(f"{name} is sparse, but this network takes integers: {name} = {name}.toarray()")
        return sparse_rows(x, name, dtype)
    if not isinstance(x, Rows):
        x = _kept(x) or host_array(x, name)
    check_axes(x, name, dtype)
    if dtype is None:
        return x if isinstance(x, Rows) else np.ascontiguousarray(x, x.dtype.newbyteorder("="))
    if isinstance(x, Rows):
        return _settled(x.astype(dtype), name)
    nbytes = 0 if x.dtype == dtype and x.flags.c_contiguous else x.size * np.dtype(dtype).itemsize
    what, remedy = f"{name} of shape {x.shape} in {np.dtype(dtype)}", "map it from files (datasets.open_rows)"
    with (
        reserve(nbytes, what, remedy),
        np.errstate(over="ignore"),
    ):  # a number that is too large for dtype becomes infinite
        rows: HostArray = np.ascontiguousarray(x, dtype=dtype)
    check_finite(rows, name)
    return rows


def check_axes(x: Any, name: str, dtype: Any) -> None:
    """Check that rows have two axes or more, none of length 0; if dtype is None, that they are integers.

    Raises
    ------
    DataError
        If not.
    """
    if x.ndim == 1:
        raise DataError(
            f"{name} of shape {x.shape} must have two dimensions: use {name}.reshape(-1, 1) for one feature, "
            f"{name}.reshape(1, -1) for one row"
        )
    if x.ndim == 0 or 0 in x.shape:
        raise DataError(f"{name} must have shape (rows, features), and none of them may be 0, not {x.shape}")
    if dtype is None and x.dtype.kind not in "iu":
        raise DataError(
            f"{name} must hold integers for this network, not {x.dtype}: use {name}.astype(int) if they are"
        )


def _kept(x: Any) -> Rows | None:
    """Return bytes and large mapped files as `Rows`, and None for other data."""
    if not isinstance(x, np.ndarray) or x.ndim < 2 or not x.flags.c_contiguous:
        return None
    large = isinstance(x, np.memmap) and x.nbytes > READ_WHOLE and x.dtype.kind in "fiu"
    return Rows(x) if large or x.dtype == np.uint8 else None


def _settled(rows: Rows, name: str) -> HostArray | Rows:
    """Return bytes and large mapped files unchanged; convert and check all other rows."""
    if rows.mapped:
        if sum(array.nbytes for array in rows.arrays) > READ_WHOLE:
            return rows
        rows = rows.loaded()
    if rows.kept == np.uint8:
        return rows
    arrays = [np.ascontiguousarray(rows.values(array)) for array in rows.arrays]
    before = 0
    for array in arrays:
        check_finite(array, name, range(before, before + len(array)))
        before += len(array)
    return arrays[0] if len(arrays) == 1 else Rows(arrays)


def _read(column: HostArray | Rows | SparseRows, segment: slice, name: str) -> HostArray:
    values = np.asarray(column[segment])
    if isinstance(column, Rows) and column.mapped:
        check_finite(values, name, range(segment.start, segment.stop))
    return values


def check_finite(x: HostArray, name: str, numbers: Any = None) -> None:
    """Check that all values are finite.

    Parameters
    ----------
    x : array of shape (rows, …)
    name : str
        What the error calls it.
    numbers : sequence of int, optional
        The numbers of the rows, for the error; 0, 1, … by default.

    Raises
    ------
    DataError
        If a value is NaN or infinite; the text names the first row with one.
    """
    for start in range(0, len(x), CHECKED):
        finite = np.isfinite(x[start : start + CHECKED])
        if not finite.all():
            row = start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            number = row if numbers is None else int(numbers[row])
            wide = np.isinf(x[row]).any() and x.dtype == np.float32
            more = ": in float32, numbers above 3.4e38 are infinite" if wide else ""
            raise DataError(f"{name} has a value that is NaN or infinite, first in row {number}{more}")


class OnHost:
    """Convert columns on the host, and check them there; `nnx.data.device_rows.OnDevice` does it on a GPU.

    Parameters
    ----------
    device : str
        The network's device, for errors.
    limits : Limits, optional
        As for `Samples`.
    """

    def __init__(self, device: str, limits: Limits | None = None) -> None:
        self.device, self.limits = device, limits

    def given(self, x: Any, name: str) -> HostArray | Rows | SparseRows:
        """Return a column as an array of numbers of any shape."""
        if isinstance(x, Rows) and x.ndim > 1:
            return x
        if name == "y" and is_sparse(x):
            return sparse_rows(x, name, np.float64 if x.dtype.itemsize > 4 else np.float32)
        if foreign.on_gpu(x):
            raise DataError(foreign.elsewhere(x, name, self.device, "but x on the host"))
        return _kept(x) or host_array(x, name)

    def rows(self, x: Any, name: str, dtype: Any) -> HostArray | Rows | SparseRows:
        """Return a column of finite numbers; see `check_rows`."""
        return check_rows(x, name, dtype)

    def labels(self, y: Any) -> HostArray:
        """Return labels in the type that losses take."""
        labels: HostArray = np.asarray(y)
        return labels.astype(np.int64) if labels.dtype.kind in "iu" else labels

    def samples(self, x: Any, y: Any, weights: Any, loss: Loss, features: int | tuple[int, ...]) -> Samples:
        """Check the targets and the weights, and return all columns."""
        if self.limits is not None and not (isinstance(x, Rows) and x.mapped):
            for start in range(0, len(x), CHECKED):
                part = np.asarray(x[start : start + CHECKED])
                self.limits.check(part, "x", range(start, start + len(part)))
        y = _checked_targets(loss, y, features)
        if weights is not None:
            weights = np.asarray(weights).reshape(-1)
            refuse_unusable(weights)
        return Samples(x, y, weights, self.limits)


def _checked_targets(
    loss: Loss, y: HostArray | Rows | SparseRows, features: int | tuple[int, ...]
) -> HostArray | Rows | SparseRows:
    """Check targets, and move those into [0, 1] that are outside it by a rounding error.

    Of mapped files, only the first row is checked here.
    """
    if isinstance(y, SparseRows):
        for piece in y.pieces():
            loss.check_targets(piece, features)
        values = y.matrix.data
        return (
            y.clipped()
            if loss.bounded and (values.min(initial=0.0) < 0.0 or values.max(initial=0.0) > 1.0)
            else y
        )
    if isinstance(y, Rows):
        for start in range(0, 1 if y.mapped else len(y), CHECKED):
            loss.check_targets(np.asarray(y[start : start + (1 if y.mapped else CHECKED)]), features)
        return y
    loss.check_targets(y, features)
    outside = loss.bounded and y.dtype.kind == "f" and (y.min() < 0.0 or y.max() > 1.0)
    return np.clip(y, 0.0, 1.0) if outside else y
