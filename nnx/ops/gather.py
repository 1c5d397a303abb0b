"""Rows of a data set, taken by their numbers."""

from __future__ import annotations

from nnx.ops.base import Array, Operations


class Gather(Operations):
    """Rows in the plain form."""

    def gather(self, source: Array, indices: Array, out: Array, divisor: float = 1.0) -> Array:
        """out[i] = source[indices[i]]; bytes are cast to out's type and divided there by `divisor`.

        The indices were drawn by nnx and lie within the source, which is C-contiguous.
        """
        rows = self.xp.take(source, indices, axis=0)
        out[...] = rows if source.dtype == out.dtype else rows.astype(out.dtype) / divisor
        return out
