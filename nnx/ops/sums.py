"""Sums over the rows of an array."""

from __future__ import annotations

import math

from nnx.ops.base import Array, Operations

BLOCK = 128  # rows that are summed one by one


class Sums(Operations):
    """Sums in the plain form."""

    def _column_sums(self, x: Array) -> Array:
        """Σ_rows x. Many rows are summed in blocks of about √rows, so that rounding grows as slowly."""
        rows, columns = x.shape
        if rows <= BLOCK:
            return self.xp.sum(x, axis=0)
        block = max(BLOCK, math.isqrt(rows))
        whole = rows - rows % block
        blocks = self.xp.sum(x[:whole].reshape(-1, block, columns), axis=1)
        sums = self.xp.sum(blocks, axis=0)
        return sums if whole == rows else sums + self.xp.sum(x[whole:], axis=0)
