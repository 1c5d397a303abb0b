"""Rows of numbers on the host in their stored form: bytes, files mapped into memory, several arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        self.parts: list[HostArray] = [_array(part) for part in (x if isinstance(x, list) else [x])]
        if not self.parts:
            raise DataError("the list of arrays is empty: give at least one array")
        first = self.parts[0]
        for part in self.parts:
            if part.ndim == 0 or part.dtype != first.dtype or part.shape[1:] != first.shape[1:]:
                raise DataError(
                    "the arrays of a list must have one type, and rows of one shape, but the first is "
                    f"{first.dtype} of shape {first.shape}, and another is {part.dtype} of shape {part.shape}"
                )
        if not divisor > 0.0:
            raise DataError(f"divisor must be a positive number, not {divisor!r}")
        self.divisor = float(divisor)
        whole = first.dtype.kind in "iub" and self.divisor != 1.0
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if whole else first.dtype.newbyteorder("=")
        self._ends = np.cumsum([len(part) for part in self.parts])

    def _with(self, parts: list[HostArray], dtype: Any) -> Rows:
        rows = Rows(parts, self.divisor)
        rows.dtype = np.dtype(dtype)
        return rows

    # -------------------------------------------------------------- properties

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, …), or (rows,) for labels."""
        return (len(self), *self.parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.parts[0].ndim

    @property
    def blocks(self) -> tuple[int, ...]:
        """Number of rows in each array that is not empty."""
        return tuple(len(part) for part in self.parts if len(part))

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the stored numbers."""
        dtype: np.dtype[Any] = self.parts[0].dtype
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
        return any(isinstance(part, np.memmap) for part in self.parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        divided = "" if self.divisor == 1.0 else f" / {self.divisor:g}"
        return f"Rows(shape={self.shape}, {self.stored}{divided}, arrays={len(self.parts)})"

    def made_of(self) -> list[HostArray]:
        """Return everything that determines the values, for a fingerprint."""
        return [*self.parts, np.array([self.divisor])]

    # ---------------------------------------------------------------- reading

    def astype(self, dtype: Any) -> Rows:
        """Return the same rows with values of another type."""
        return self._with(self.parts, dtype)

    def loaded(self) -> Rows:
        """Return the same rows, read into memory."""
        return self._with([np.array(part) for part in self.parts], self.dtype)

    def __getitem__(self, index: Any) -> Any:
        """Return `Rows` for a slice, without reading them, or the values for an array of row numbers."""
        if not isinstance(index, slice):
            return self.values(self.read(self._numbers(index)))
        start, stop, stride = index.indices(len(self))
        if stride != 1:
            raise DataError(f"a slice of Rows must have step 1, not {stride}: use an array of row numbers")
        begins = [0, *self._ends[:-1].tolist()]
        cut = [part[max(0, start - b) : max(0, stop - b)] for part, b in zip(self.parts, begins, strict=True)]
        return self._with([part for part in cut if len(part)] or [self.parts[0][:0]], self.dtype)

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
        if len(self.parts) == 1:
            return _take(self.parts[0], indices, out)
        which = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(which):
            places, part = np.flatnonzero(which == number), self.parts[number]
            begin = self._ends[number] - len(part)
            out[places] = part[indices[places] - begin]
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
        stored = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        values = self.values(stored)
        array: HostArray = np.array(values, dtype, copy=copy)
        return array


def _array(x: Any) -> HostArray:
    array: HostArray = x if isinstance(x, np.ndarray) else np.asarray(x)  # a mapped array stays one
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
