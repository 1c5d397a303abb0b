"""Sparse rows on the host: checked once, and never dense as a whole.

A batch stays sparse for a network whose first layer computes over the non-zeros (`Network.takes_sparse`). For
every other network, and as targets, the rows of one batch become dense at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.backends.host_memory import reserve
from nnx.data.rows import HostArray
from nnx.errors import DataError
from nnx.ops.sparse import SparseBatch

PIECE = 2**21  # numbers that are made dense at once to check targets


def is_sparse(x: Any) -> bool:
    """Return whether `x` is a sparse matrix or array of SciPy, or `SparseRows`."""
    if isinstance(x, np.ndarray):
        return False
    library = sys.modules.get("scipy.sparse")  # without it, there is no such object
    return isinstance(x, SparseRows) or (library is not None and bool(library.issparse(x)))


class SparseRows:
    """Rows of a sparse matrix, as `fit`, `evaluate` and `predict` read them.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (rows, features)
        With sorted columns, each once in a row; `sparse_rows` makes it.

    Attributes
    ----------
    shape, ndim, dtype
        As those of an array.
    kept : numpy.dtype
        Type of a dense batch.
    """

    ndim = 2
    divisor = 1.0
    mapped = False

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, features)."""
        rows, features = self.matrix.shape
        return rows, features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = self.matrix.dtype
        return dtype

    @property
    def kept(self) -> np.dtype[Any]:
        """Type of a dense batch on the device."""
        return self.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"SparseRows(shape={self.shape}, {self.dtype}, non-zeros={self.matrix.nnz})"

    def __getitem__(self, index: Any) -> Any:
        """Return `SparseRows` for a slice, or a dense array for an array of row numbers."""
        if isinstance(index, slice):
            return SparseRows(self.matrix[index])
        return self.matrix[index].toarray()

    def batch(self, numbers: HostArray | None = None) -> SparseBatch:
        """Return the rows with these numbers for a step; all rows by default."""
        return SparseBatch(self.matrix if numbers is None else self.matrix[numbers])

    def bring(self, numbers: HostArray, out: HostArray) -> HostArray:
        """Write the rows with these numbers into a dense array."""
        self.matrix[numbers].toarray(out=out)
        return out

    def astype(self, dtype: Any) -> SparseRows:
        """Return the same rows with values of another type."""
        return self if self.dtype == dtype else self._with(self.matrix.data.astype(dtype))

    def clipped(self) -> SparseRows:
        """Return the rows with values in [0, 1]."""
        return self._with(np.clip(self.matrix.data, 0.0, 1.0))

    def _with(self, values: HostArray) -> SparseRows:
        made = type(self.matrix)((values, self.matrix.indices, self.matrix.indptr), shape=self.shape)
        return SparseRows(made)

    def made_of(self) -> list[HostArray]:
        """Return everything that determines the values, for a fingerprint."""
        matrix = self.matrix
        places = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
        return [*places, matrix.data, np.array(self.shape)]

    def pieces(self) -> Iterator[HostArray]:
        """Yield all rows as dense arrays, a few at a time."""
        rows = max(1, PIECE // self.shape[1])
        for start in range(0, len(self), rows):
            yield self.matrix[start : start + rows].toarray()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> HostArray:
        rows, features = self.shape
        what = f"a dense copy of sparse rows of shape {self.shape}"
        with reserve(rows * features * self.dtype.itemsize, what, "use fewer rows, or no metrics"):
            dense: HostArray = self.matrix.toarray()
        return dense if dtype is None else dense.astype(dtype, copy=False)


def sparse_rows(x: Any, name: str, dtype: Any, finite: bool = True) -> SparseRows:
    """Check a sparse matrix or array, and return its rows in `dtype`; `x` does not change.

    Values of zero are left out, duplicates are added up in the type of `x`, as its ``toarray`` does, and
    columns are sorted. Arrays of `x` that are in this form already are used without a copy.

    Parameters
    ----------
    x : sparse matrix or array of any format, or SparseRows
    name : str
        What an error calls it.
    dtype : numpy.dtype
    finite : bool
        Whether all values must be finite.

    Raises
    ------
    DataError
        If `x` has another number of axes than two or an axis of length 0, holds no numbers, has an index that
        is out of range, or a value that is not finite.
    """
    if isinstance(x, SparseRows) and x.dtype == dtype:
        return x
    if x.ndim != 2 or 0 in x.shape:
        raise DataError(f"{name} must have shape (rows, features), and none of them may be 0, not {x.shape}")
    if x.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold numbers, not {x.dtype}")
    matrix = x.matrix if isinstance(x, SparseRows) else _canonical(x, name)
    with np.errstate(over="ignore"):  # a number that is too large becomes infinite
        rows = SparseRows(matrix).astype(dtype)
    if finite:
        _check_finite(rows.matrix, name)
    return rows


def _canonical(x: Any, name: str) -> Any:
    """Return a matrix as a `csr_array` with sorted columns, each once in a row, and no zeros."""
    from scipy.sparse import csr_array

    made = _checked(x, name)
    if made.dtype.kind == "f" and made.dtype.itemsize < 4:
        made = made.astype(np.float32)  # SciPy does not compute in float16
    made = made.tocsr()
    own = x.format != "csr" or not np.may_share_memory(made.indices, x.indices)
    made = csr_array((made.data, made.indices, made.indptr), shape=made.shape)  # without its flags
    if not made.has_canonical_format:
        made, own = made if own else made.copy(), True
        made.sum_duplicates()
    if not made.data.all():
        made = made if own else made.copy()
        made.eliminate_zeros()
    return made


def _checked(x: Any, name: str) -> Any:
    """Return a matrix in a form of the same memory, after checking its indices: SciPy reads them unchecked.

    Raises
    ------
    DataError
        If an index is out of range, or the arrays do not fit each other.
    """
    from scipy import sparse

    try:
        if x.format == "coo":
            coordinates = [np.asarray(one) for one in (x.row, x.col)]
            for one, size in zip(coordinates, x.shape, strict=True):
                if one.size and not 0 <= one.min() <= one.max() < size:
                    raise ValueError(f"an index is not in 0 to {size - 1}")
            return sparse.coo_array((x.data, tuple(coordinates)), shape=x.shape)
        if x.format in ("csr", "csc", "bsr"):
            kind = getattr(sparse, f"{x.format}_array")
            made = kind((x.data, x.indices, x.indptr), shape=x.shape)
            made.check_format(full_check=True)
            return made
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{name} is not a valid sparse matrix of the format {x.format}: {reason}") from error
    return x


def _check_finite(matrix: Any, name: str) -> None:
    finite = np.isfinite(matrix.data)
    if finite.all():
        return
    place = int(np.argmin(finite))
    row = int(np.searchsorted(matrix.indptr, place, side="right")) - 1
    wide = np.isinf(matrix.data[place]) and matrix.dtype == np.float32
    more = ": in float32, numbers above 3.4e38 are infinite" if wide else ""
    raise DataError(f"{name} has a value that is NaN or infinite, first in row {row}{more}")
