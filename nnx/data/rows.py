"""Rows of numbers on the host, as they are stored: bytes, files mapped into memory, shards."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.errors import DataError

HostArray = np.ndarray[Any, Any]
CHECKED = 4096  # rows at a time: no mask, and no copy, as large as the data


class Rows:
    """Rows that are read when they are needed: what `fit`, `evaluate` and `predict` take beside arrays.

    A value is what is stored, cast to the network's type and divided there: ``Rows(pixels, divisor=255)``
    are images in [0, 1] of which one byte a pixel is kept, in memory and on the device. Nothing is divided
    unless it is asked for.

    Parameters
    ----------
    x : array of shape (rows, …), or a list of such arrays
        Of numbers. A list holds shards: one after another, and shuffled shard by shard (see `blocks`).
        Arrays from ``np.load(path, mmap_mode="r")`` stay in their files, of which a batch's rows are read.
    divisor : float > 0

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        Of the values: of what is stored, or float32 where integers are divided; see `astype`.
    blocks : tuple of int
        Rows of each array. A shuffle takes them in an order of its own, and mixes rows within them.
    mapped : bool
        Whether any of it lies in a file.

    Raises
    ------
    DataError
        If an array holds no numbers, has another type or width than the first, or the divisor is not
        positive.

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
            raise DataError("there are no rows in an empty list of arrays")
        first = self.parts[0]
        for part in self.parts:
            if part.ndim == 0 or part.dtype != first.dtype or part.shape[1:] != first.shape[1:]:
                raise DataError(
                    f"arrays one after another must agree: {first.dtype} of shape {first.shape}, "
                    f"and {part.dtype} of shape {part.shape}"
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

    # ------------------------------------------------------------ what they are

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, …), or (rows,) of labels."""
        return (len(self), *self.parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return self.parts[0].ndim

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rows of each array."""
        return tuple(len(part) for part in self.parts if len(part))

    @property
    def stored(self) -> np.dtype[Any]:
        """The type of what is stored."""
        dtype: np.dtype[Any] = self.parts[0].dtype
        return dtype

    @property
    def kept(self) -> np.dtype[Any]:
        """The type in which they are brought to a device: bytes stay bytes."""
        return self.stored if self.stored == np.uint8 else self.dtype

    @property
    def nbytes(self) -> int:
        """Bytes they take on a device."""
        return int(np.prod(self.shape)) * self.kept.itemsize

    @property
    def mapped(self) -> bool:
        """Whether any of it lies in a file."""
        return any(isinstance(part, np.memmap) for part in self.parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        divided = "" if self.divisor == 1.0 else f" / {self.divisor:g}"
        return f"Rows(shape={self.shape}, {self.stored}{divided}, arrays={len(self.parts)})"

    def made_of(self) -> list[HostArray]:
        """All that decides about their values, for a fingerprint of them."""
        return [*self.parts, np.array([self.divisor])]

    # ---------------------------------------------------------------- reading

    def astype(self, dtype: Any) -> Rows:
        """The same rows, whose values are of another type."""
        return self._with(self.parts, dtype)

    def loaded(self) -> Rows:
        """The same rows, in memory."""
        return self._with([np.array(part) for part in self.parts], self.dtype)

    def __getitem__(self, index: Any) -> Any:
        """Rows of a slice, which are not read yet; values, for an array of row numbers."""
        if not isinstance(index, slice):
            return self.values(self.read(self._numbers(index)))
        start, stop, stride = index.indices(len(self))
        if stride != 1:
            raise DataError(f"a slice of rows goes from one to the next, not in steps of {stride}")
        begins = [0, *self._ends[:-1].tolist()]
        cut = [part[max(0, start - b) : max(0, stop - b)] for part, b in zip(self.parts, begins, strict=True)]
        return self._with([part for part in cut if len(part)] or [self.parts[0][:0]], self.dtype)

    def _numbers(self, index: Any) -> HostArray:
        """Row numbers, checked: a file or a gathering would take others without a word."""
        numbers = np.asarray(index)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(f"rows are taken by a slice or an array of row numbers, not by {index!r:.100}")
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise DataError(
                f"row numbers go from 0 to {len(self) - 1}, not {numbers.min()} to {numbers.max()}"
            )
        return numbers

    def read(self, indices: HostArray, out: HostArray | None = None) -> HostArray:
        """Stored rows by number, into `out` (of the stored type, or another to cast to) where given."""
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
        """Rows by number, as they are brought to a device, into `out` of the type `kept`."""
        if self.kept == self.stored and (self.divisor == 1.0 or self.kept == np.uint8):
            return self.read(indices, out)
        out[...] = self.values(self.read(indices))
        return out

    def values(self, stored: HostArray) -> HostArray:
        """What stored rows are worth, in `dtype`."""
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, which checks find
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
        np.take(source, indices, axis=0, out=out, mode="clip")  # lets other threads run meanwhile
        return out
    with np.errstate(over="ignore"):
        out[...] = source[indices]
    return out
