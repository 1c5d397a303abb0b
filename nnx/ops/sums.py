"""Sum many numbers in blocks: if added one by one in float32, rounding errors would grow with their count."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nnx.ops.base import Array, InPlace, Operations

BLOCK = 128  # so many rows are summed one by one
SUMMED = 2**17  # BLAS sums so many squares in their own type; these sums are added in float64


class Sums(Operations):
    """Sums in the plain form."""

    def _column_sums(self, x: Array) -> Array:
        """Σ_rows x. Many rows are summed in blocks of about √rows, so rounding errors grow like √rows."""
        rows, columns = x.shape
        if rows <= BLOCK:
            return self.xp.sum(x, axis=0)
        block = max(BLOCK, math.isqrt(rows))
        whole = rows - rows % block
        blocks = self.xp.sum(x[:whole].reshape(-1, block, columns), axis=1)
        sums = self.xp.sum(blocks, axis=0)
        return sums if whole == rows else sums + self.xp.sum(x[whole:], axis=0)


class SumsNumPy(InPlace, Sums):
    """Sums by BLAS."""

    _held: ClassVar[dict[Any, Array]] = {}

    def _column_sums(self, x: Array) -> Array:
        """Σ_rows x in the same blocks; BLAS sums a block as its product with ones, and reads x only once."""
        rows, columns = x.shape
        if rows <= BLOCK:
            return np.matmul(self._ones(rows, x.dtype), x)
        block = max(BLOCK, math.isqrt(rows))
        whole = rows - rows % block
        ones = self._ones(block, x.dtype)
        sums = np.add.reduce(np.matmul(ones, x[:whole].reshape(-1, block, columns)), axis=0)
        if whole < rows:
            sums += np.matmul(ones[: rows - whole], x[whole:])
        return sums

    def _ones(self, size: int, dtype: Any) -> Array:
        """Return ones, which may only be read."""
        ones = self._held.get(dtype)
        if ones is None or ones.size < size:
            ones = self._held[dtype] = np.ones(max(size, BLOCK), dtype)
        return ones[:size]


def sum_of_squares(flat: Array) -> float:
    """Σ x² of a flat array, in pieces because BLAS sums long arrays naively; infinite if it overflows."""
    if flat.size <= SUMMED:
        return float(np.dot(flat, flat))
    whole = flat.size - flat.size % SUMMED
    pieces, rest = flat[:whole].reshape(-1, SUMMED), flat[whole:]
    return float(np.vecdot(pieces, pieces).sum(dtype=np.float64)) + float(np.dot(rest, rest))
