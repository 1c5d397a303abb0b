"""Scale data: fit block by block in float64, apply, and undo in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.data.rows import HostArray, Rows
from nnx.data.samples import READ_WHOLE
from nnx.errors import DataError, shown

SCALES = ("auto", "standard", "minmax", "none")
BYTES = 255.0
MAX_SCALED = 200_000  # features that may each have a scale, because the model's header stores it
_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)  # relative difference between sums in another order
_BLOCK = 2**18  # numbers in a block, which stays in a processor's cache


@dataclass(frozen=True, eq=False)
class Scaling:
    """z = (x − shift) / scale, for each number of a row.

    Attributes
    ----------
    shift, scale : array of the shape of a row, or of shape (1,) if all numbers of a row have the same
        float64, finite; scale is positive.
    """

    shift: HostArray
    scale: HostArray

    @classmethod
    def fitted(
        cls,
        kind: str,
        x: HostArray,
        rows: HostArray | None = None,
        weights: HostArray | None = None,
        pixels: bool = False,
        names: Sequence[str] = (),
    ) -> Scaling:
        """Fit a scaling of a kind in `SCALES` to some rows of x, block by block.

        ``standard``: mean 0 and standard deviation 1; ``minmax``: [0, 1]; a column that is constant, or
        differs by rounding alone, is only shifted. ``auto``: bytes, 0 to 255, by 255; else standard.
        ``none``: bytes by 255, else as they are. Numbers that are `pixels` from 0 to 255 are scaled as bytes.
        A row of weight w counts as w rows; one of weight 0 does not count. Errors call the
        columns by `names`.

        Raises
        ------
        DataError
            If a value is not finite, or the columns are too many to keep a scale for each.
        """
        whole = pixels or x.dtype == np.uint8
        if kind == "none" or (kind == "auto" and whole):
            return cls(np.zeros(1), np.full(1, BYTES if whole else 1.0))
        if width(x) > MAX_SCALED:
            raise DataError(
                f"{width(x):,} features are more than the {MAX_SCALED:,} that can have a scale each: "
                "choose scale none"
            )
        if kind == "minmax":
            low, high = extent(x, rows, weights)
            shift, scale = low, _spread(high - low, low)
        else:
            shift, scale = moments(x, rows, weights)
        check_finite_columns(x, rows, shift, scale, names=names)
        return cls(shift, np.where(scale > 0.0, scale, 1.0))

    def apply(self, x: HostArray, dtype: Any, clip: bool = False) -> HostArray:
        """z of `dtype`; computed in float64, block by block; on request the nearest value in [0, 1]."""
        z = np.empty(x.shape, dtype)
        for part in parts(len(x), width(x)):
            with np.errstate(over="ignore"):  # training names what becomes infinite
                exact = x[part].astype(np.float64)
                exact -= self.shift
                exact /= self.scale
                z[part] = exact.clip(0.0, 1.0) if clip else exact
        return z

    def rows(self, x: HostArray, rows: HostArray, dtype: Any, clip: bool = False) -> HostArray | Rows:
        """Scale some rows: bytes stay bytes, a large file is not read, other numbers are computed."""
        if isinstance(x, np.memmap) and x.nbytes > READ_WHOLE:
            return ScaledRows(x, rows, self, dtype, clip)
        if x.dtype == np.uint8 and self.scale.size == 1 and not self.shift.any():
            return Rows(x[rows], divisor=float(self.scale[0]))
        return self.apply(x[rows], dtype, clip)

    def undo(self, z: HostArray) -> HostArray:
        """x, in float64: float32 would round away the spread of data with a large mean."""
        x: HostArray = np.asarray(z, np.float64) * self.scale + self.shift
        return x


class ScaledRows(Rows):
    """Some rows of a mapped array, scaled as they are read; the data may be larger than memory.

    Parameters
    ----------
    x : memmap of shape (rows, …)
    numbers : array of int
        Which rows, in order.
    scaling : Scaling
    dtype : numpy.dtype
    clip : bool
        Whether the nearest value in [0, 1] is taken.
    """

    def __init__(
        self, x: HostArray, numbers: HostArray, scaling: Scaling, dtype: Any, clip: bool = False
    ) -> None:
        super().__init__(x)
        self.numbers, self.scaling, self.dtype, self.clip = numbers, scaling, np.dtype(dtype), clip

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Return one block: a shuffle mixes all rows."""
        return (len(self),)

    @property
    def kept(self) -> np.dtype[Any]:
        """Return the type of the scaled values."""
        return self.dtype

    def astype(self, dtype: Any) -> Rows:
        """Return the same rows with values of another type."""
        return ScaledRows(self.arrays[0], self.numbers, self.scaling, dtype, self.clip)

    def __getitem__(self, index: Any) -> Any:
        """As for `Rows`."""
        if isinstance(index, slice):
            return ScaledRows(self.arrays[0], self.numbers[index], self.scaling, self.dtype, self.clip)
        return self.values(self.read(self._numbers(index)))

    def read(self, indices: HostArray, out: HostArray | None = None) -> HostArray:
        """See `Rows.read`."""
        return super().read(self.numbers[indices], out)

    def bring(self, indices: HostArray, out: HostArray) -> HostArray:
        """See `Rows.bring`."""
        out[...] = self.values(self.read(indices))
        return out

    def values(self, stored: HostArray) -> HostArray:
        """Return the scaled values."""
        return self.scaling.apply(stored, self.dtype, self.clip)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> HostArray:
        array: HostArray = np.array(self[np.arange(len(self))], dtype, copy=copy)
        return array

    def made_of(self) -> list[HostArray]:
        """See `Rows.made_of`."""
        return [*self.arrays, self.numbers, self.scaling.shift, self.scaling.scale, np.array([self.clip])]


def width(x: HostArray) -> int:
    """Return how many numbers a row has."""
    return math.prod(x.shape[1:])


def parts(rows: int, columns: int) -> Iterator[slice]:
    """Divide this many rows into parts that fit in a processor's cache."""
    step = max(1, _BLOCK // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _blocks(
    x: HostArray, rows: HostArray | None, weights: HostArray | None
) -> Iterator[tuple[HostArray, HostArray]]:
    """Yield the rows of weight above 0, as float64 of shape (rows, numbers of a row), with their weights."""
    for part in parts(len(x) if rows is None else len(rows), width(x)):
        block = np.asarray(x[part] if rows is None else x[rows[part]], np.float64)
        block = block.reshape(len(block), -1)
        counts = np.ones(len(block)) if weights is None else weights[part]
        counted = counts > 0.0
        if counted.all():
            yield block, counts
        elif counted.any():
            yield block[counted], counts[counted]


def moments(
    x: HostArray, rows: HostArray | None = None, weights: HostArray | None = None
) -> tuple[HostArray, HostArray]:
    """Return mean and standard deviation of each number of a row, in the shape of a row.

    A row of weight w counts as w rows.

    Blocks are merged (Chan, Golub and LeVeque, 1979, eq. 2.1). All is computed on differences from the first
    row: they are exactly 0 in a constant column, and small where the mean is large. A deviation that rounding
    alone may have made is 0.
    """
    count, mean, squares = 0.0, np.zeros(width(x)), np.zeros(width(x))
    first: HostArray | None = None
    with np.errstate(invalid="ignore", over="ignore"):
        for block, counts in _blocks(x, rows, weights):
            first = block[0].copy() if first is None else first
            block = block - first  # a new array: the rows may be a view of the data
            new = float(counts.sum())
            its_mean = counts @ block / new
            apart = its_mean - mean
            block -= its_mean
            squares += counts @ np.square(block) + apart**2 * (count * new / (count + new))
            mean += apart * (new / (count + new))
            count += new
        mean = mean + (0.0 if first is None else first)
        deviation = _spread(np.sqrt(squares / count), mean)
    return mean.reshape(x.shape[1:]), deviation.reshape(x.shape[1:])


def _spread(spread: HostArray, value: HostArray) -> HostArray:
    """Return the spreads; 0 for columns that differ only by rounding, such as 0.3 and 0.1 + 0.2."""
    found: HostArray = np.where(spread <= _ROUNDING * np.abs(value), 0.0, spread)
    return found


def extent(
    x: HostArray, rows: HostArray | None = None, weights: HostArray | None = None
) -> tuple[HostArray, HostArray]:
    """Return the smallest and largest value of each number of a row, in the shape of a row.

    Rows of weight 0 do not count.
    """
    low, high = np.full(width(x), np.inf), np.full(width(x), -np.inf)
    with np.errstate(invalid="ignore"):
        for block, _ in _blocks(x, rows, weights):
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
    return low.reshape(x.shape[1:]), high.reshape(x.shape[1:])


def outside(scaling: Scaling, x: HostArray, rows: HostArray, margin: float) -> int:
    """Count the rows that leave [0, 1] by more than a margin when they are scaled."""
    count = 0
    for part in parts(len(rows), width(x)):
        z = scaling.apply(x[rows[part]], np.float64)
        z = z.reshape(len(z), -1)
        count += int(((z < -margin) | (z > 1.0 + margin)).any(axis=1).sum())
    return count


def check_finite_columns(
    x: HostArray, rows: HostArray | None, *of_columns: HostArray, names: Sequence[str] = ()
) -> None:
    """Refuse a number of a row whose moments or limits are not finite; name the first row to blame."""
    finite = np.logical_and.reduce([np.isfinite(values) for values in of_columns])
    if finite.all():
        return
    at = int(np.argmin(finite))
    column = x.reshape(len(x), -1)[:, at]
    fits = np.isfinite(column) if rows is None else np.isfinite(column[rows])
    what = called(at, finite.shape, names)
    if fits.all():
        raise DataError(f"{what} holds values that are too large to scale: leave such rows out")
    row = int(np.argmin(fits) if rows is None else rows[np.argmin(fits)])
    where = f"{what} is NaN or infinite, first in row {row} (counted from 0)"
    raise DataError(f"{where}: leave such rows out, or fill them in")


def called(at: int, shape: tuple[int, ...], names: Sequence[str] = ()) -> str:
    """Return what a message calls a number of a row: its column's name, or its place, from 1."""
    if names:
        return f"column {shown(names[at])}"
    place = [int(index) + 1 for index in np.unravel_index(at, shape)]
    return f"number {place[0] if len(place) == 1 else tuple(place)} of a row"
