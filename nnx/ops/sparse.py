"""A dense layer on sparse rows: y = f(x W + b) over the non-zeros of x, and the gradients of W and b.

dW[c] = Σ_r x[r, c] dz[r] is 0 in each row c of W whose column of x has no non-zero in the batch. So only the
other rows, the *used* ones, are computed. All forms are for the CPU: on a GPU, and for layers without such a
form, a batch becomes dense.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nnx.ops.activations import Activations, ActivationsNumPy
from nnx.ops.base import Array
from nnx.ops.embedding import NONE, block_of
from nnx.ops.sums import Sums, SumsNumPy


class ByColumn(NamedTuple):
    """The non-zeros of a batch in the order of their columns.

    Attributes
    ----------
    columns : int64 array of shape (used,)
        The columns that have a non-zero, ascending; one place with −1 if there is none.
    starts : int64 array of shape (used + 1,)
        Where the non-zeros of each of these columns begin, and the end.
    rows, values : array of shape (non-zeros,)
        The row number and the value of each non-zero, in a column by row.
    """

    columns: Array
    starts: Array
    rows: Array
    values: Array


class SparseBatch:
    """Sparse rows of a batch, as the passes of the first layer read them.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of shape (rows, features)
        Of the network's type, with sorted columns, each once in a row.

    Attributes
    ----------
    starts, columns, values : array
        The non-zeros of row r are at the places ``starts[r]`` to ``starts[r + 1] - 1`` of the other two.
    shape, ndim, dtype
        As those of an array.
    base : None
        It is no view of another array.
    """

    base = None
    ndim = 2

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.shape: tuple[int, int] = matrix.shape
        self.dtype = matrix.dtype
        self.starts = np.require(matrix.indptr, np.int64, ["C", "W"])
        self.columns = np.require(matrix.indices, np.int32, ["C", "W"])
        self.values = np.require(matrix.data, None, ["C", "W"])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> SparseBatch:
        return SparseBatch(self.matrix[rows])

    @cached_property
    def rows(self) -> Array:
        """The row number of each non-zero."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @cached_property
    def by_column(self) -> ByColumn:
        """The non-zeros in the order of their columns; SciPy sorts them."""
        turned = self.matrix.tocsc()
        columns = np.flatnonzero(turned.indptr[1:] != turned.indptr[:-1])
        starts = np.append(turned.indptr[columns], turned.nnz)
        if not columns.size:
            columns, starts = np.array([NONE]), np.array([0, 0])
        rows = turned.indices.astype(np.int32, copy=False)
        return ByColumn(columns.astype(np.int64, copy=False), starts.astype(np.int64), rows, turned.data)


class Sparse(Activations, Sums):
    """A dense layer on sparse rows in the plain form."""

    def sparse_forward(
        self, x: SparseBatch, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """y = f(x W + b), with x W summed over the non-zeros of x; see `dense_forward`."""
        xp = self.xp
        y[...] = b
        xp.add.at(y, x.rows, x.values[:, None] * W[x.columns])
        return self.activation_forward(kind, y, y, alpha)

    def sparse_backward(
        self, dy: Array, x: SparseBatch, sums: Array, db: Array, kind: str = "identity", alpha: float = 0.0,
        y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f'; sums[i] = Σ_r x[r, c] dz[r] with c = ``x.by_column.columns[i]``; db = Σ_rows dz.

        `sums` of shape (used, units) gets the rows of dW that are not 0. The other arguments are those of
        `dense_backward`.
        """
        xp = self.xp
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        _, starts, rows, values = x.by_column
        sums[...] = 0.0
        places = xp.repeat(xp.arange(len(sums)), xp.diff(starts))
        xp.add.at(sums, places, values[:, None] * dy[rows])
        db[...] = self._column_sums(dy)
        return sums


class SparseNumPy(ActivationsNumPy, SumsNumPy, Sparse):
    """A dense layer on sparse rows by SciPy's products, which need no array of non-zeros × units."""

    def sparse_forward(
        self, x: SparseBatch, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Add the bias to SciPy's product."""
        np.add(x.matrix @ W, b, out=y)
        return y if kind == "identity" else self.activation_forward(kind, y, y, alpha)

    def sparse_backward(
        self, dy: Array, x: SparseBatch, sums: Array, db: Array, kind: str = "identity", alpha: float = 0.0,
        y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Multiply the transpose of the used columns, by blocks of rows: rounding errors grow like √rows."""
        from scipy.sparse import csr_array

        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        db[...] = self._column_sums(dy)
        _, starts, rows, values = x.by_column
        block, shape = block_of(len(dy)), (len(sums), len(dy))
        if len(dy) <= block:
            sums[...] = csr_array((values, rows, starts), shape=shape) @ dy
            return sums
        turned = csr_array((values, rows, starts), shape=shape).tocsc()
        sums[...] = 0.0
        for start in range(0, len(dy), block):
            sums += turned[:, start : start + block] @ dy[start : start + block]
        return sums
