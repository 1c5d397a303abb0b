"""Rows of numbers on the host in their stored form: bytes, files mapped into memory, several arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nnx.backends import foreign
from nnx.errors import DataError

HostArray = np.ndarray[Any, Any]
CHECKED = 4096  # rows that are checked at once, so that no mask or copy is as large as the data


class Rows:
    """Rows for `fit`, `evaluate` and `predict` that are read and converted only when they are needed.

    value = stored / divisor, in the network's dtype. For example, ``Rows(pixels, divisor=255)`` are images in
    [0, 1] that take one byte per pixel, in memory and on the device.

    Parameters
    ----------
    x : array of shape (rows, …), or a list of such arrays
        Numbers. The arrays of a list are joined along the first axis. A shuffle changes the order of the
        arrays, and the order of the rows within each. Arrays from ``np.load(path, mmap_mode="r")`` stay in
        their files, and each batch reads its rows.
    divisor : float > 0

    Attributes
    ----------
    arrays : list of array
        The arrays, as they were given.
    shape : tuple of int
    dtype : numpy.dtype
        Type of the values: the stored type, or float32 if integers are divided; see `astype`.
    blocks : tuple of int
        Number of rows in each array.
    mapped : bool
        Whether any of the arrays lies in a file.

    Raises
    ------
    DataError
        If there is no array, an array does not hold numbers or differs from the first in type or in the shape
        of a row, or the divisor is not positive.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> rows = nnx.Rows(np.array([[0, 51], [255, 102]], np.uint8), divisor=255)
    >>> np.asarray(rows)
    array([[0. , 0.2],
           [1. , 0.4]], dtype=float32)
    """

    def __init__(self, x: Any, divisor: float = 1.0) -> None:
        self.arrays: list[HostArray] = [_array(array) for array in (x if isinstance(x, list) else [x])]
        if not self.arrays:
            raise DataError("the list of arrays is empty: give at least one array")
        first = self.arrays[0]
        for array in self.arrays:
            if array.ndim == 0 or array.dtype != first.dtype or array.shape[1:] != first.shape[1:]:
                raise DataError(
                    "the arrays of a list must have one type, and rows of one shape, but the first is "
                    f"{first.dtype} of shape {first.shape}, and another is {array.dtype} of shape "
                    f"{array.shape}"
                )
        if not 0.0 < divisor < np.inf:
            raise DataError(f"divisor must be a positive number, not {divisor!r}")
        self.divisor = float(divisor)
        whole = first.dtype.kind in "iub" and self.divisor != 1.0
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if whole else first.dtype.newbyteorder("=")
        self._ends = np.cumsum([len(array) for array in self.arrays])

    def _with(self, arrays: list[HostArray], dtype: Any) -> Rows:
        rows = Rows(arrays, self.divisor)
        rows.dtype = np.dtype(dtype)
        return rows

    # -------------------------------------------------------------- properties

    @property
    def parts(self) -> list[HostArray]:
        """Return `arrays`; this was its name in version 0.1."""
        warnings.warn("rows.parts is now rows.arrays", DeprecationWarning, stacklevel=2)
        return self.arrays

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, …), or (rows,) for labels."""
        return (len(self), *self.arrays[0].shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.arrays[0].ndim

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of rows in each array that is not empty."""
        return tuple(len(array) for array in self.arrays if len(array))

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        dtype: np.dtype[Any] = self.arrays[0].dtype
        return dtype

    @property
    def kept(self) -> np.dtype[Any]:
        """Type on the device: uint8 for bytes, else `dtype`."""
        return self.stored if self.stored == np.uint8 else self.dtype

    @property
    def nbytes(self) -> int:
        """Memory that the rows take on a device, in bytes."""
        return int(np.prod(self.shape)) * self.kept.itemsize

    @property
    def mapped(self) -> bool:
        """Whether any of the arrays lies in a file."""
        return any(isinstance(array, np.memmap) for array in self.arrays)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        divided = "" if self.divisor == 1.0 else f" / {self.divisor:g}"
        return f"Rows(shape={self.shape}, {self.stored}{divided}, arrays={len(self.arrays)})"

    def made_of(self) -> list[HostArray]:
        """Return everything that determines the values, for a fingerprint."""
        return [*self.arrays, np.array([self.divisor])]

    # ---------------------------------------------------------------- reading

    def astype(self, dtype: Any) -> Rows:
        """Return the same rows with values of another type."""
        return self._with(self.arrays, dtype)

    def loaded(self) -> Rows:
        """Return the same rows, read into memory."""
        return self._with([np.array(array) for array in self.arrays], self.dtype)

    def __getitem__(self, index: Any) -> Any:
        """Return `Rows` for a slice, without reading them, or the values for an array of row numbers."""
        if not isinstance(index, slice):
            return self.values(self.read(self._numbers(index)))
        start, stop, stride = index.indices(len(self))
        if stride != 1:
            raise DataError(f"a slice of Rows must have step 1, not {stride}: use an array of row numbers")
        begins = [0, *self._ends[:-1].tolist()]
        cut = [x[max(0, start - b) : max(0, stop - b)] for x, b in zip(self.arrays, begins, strict=True)]
        return self._with([x for x in cut if len(x)] or [self.arrays[0][:0]], self.dtype)

    def _numbers(self, index: Any) -> HostArray:
        """Return row numbers after checking them: NumPy would accept negative ones."""
        numbers = np.asarray(index)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(f"index Rows with a slice or an array of row numbers, not with {index!r:.100}")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise DataError(
                f"row numbers must lie in 0 to {len(self) - 1}, but they go from {numbers.min()} to "
                f"{numbers.max()}"
            )
        return numbers

    def read(self, indices: HostArray, out: HostArray | None = None) -> HostArray:
        """Return the stored rows with these numbers, in `out` if it is given, cast to its type."""
        if out is None:
            out = np.empty((len(indices), *self.shape[1:]), self.stored)
        if len(self.arrays) == 1:
            return _take(self.arrays[0], indices, out)
        which = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(which):
            places, array = np.flatnonzero(which == number), self.arrays[number]
            begin = self._ends[number] - len(array)
            out[places] = array[indices[places] - begin]
        return out

    def bring(self, indices: HostArray, out: HostArray) -> HostArray:
        """Return the rows with these numbers in the form for the device, in `out` of the type `kept`."""
        if self.kept == self.stored and (self.divisor == 1.0 or self.kept == np.uint8):
            return self.read(indices, out)
        out[...] = self.values(self.read(indices))
        return out

    def values(self, stored: HostArray) -> HostArray:
        """Return the values of stored rows: divided, in `dtype`."""
        with np.errstate(over="ignore"):  # a number that is too large becomes infinite, and checks find that
            if self.divisor == 1.0:
                values: HostArray = np.asarray(stored).astype(self.dtype, copy=False)
            else:
                values = np.divide(stored, self.divisor, dtype=self.dtype)
            return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> HostArray:
        stored = self.arrays[0] if len(self.arrays) == 1 else np.concatenate(self.arrays)
        values = self.values(stored)
        array: HostArray = np.array(values, dtype, copy=copy)
        return array


def _array(x: Any) -> HostArray:
    if foreign.on_gpu(x):
        raise DataError(
            f"Rows takes data on the host, but they lie on {foreign.place(x)}: give the array itself, "
            "divided there (x / 255), or copy it (cupy.asnumpy(x))"
        )
    array: HostArray = x if isinstance(x, np.memmap) else foreign.as_numpy(x)  # a mapped array stays one
    if array.dtype.kind not in "fiub":
        raise DataError(f"rows must hold numbers, not {array.dtype}")
    return array


def _take(source: HostArray, indices: HostArray, out: HostArray) -> HostArray:
    if source.dtype == out.dtype and source.flags.c_contiguous and source.dtype.isnative:
        np.take(source, indices, axis=0, out=out, mode="clip")  # other threads can run during this call
        return out
    with np.errstate(over="ignore"):
        out[...] = source[indices]
    return out
