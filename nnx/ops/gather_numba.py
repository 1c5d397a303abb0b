"""Compiled forms of gather.py."""

from __future__ import annotations

import numpy as np

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, team, usual
from nnx.ops.gather import GatherNumPy
from nnx.ops.share_numba import share


@inner
def copy_rows(indices: Array, out: Array, source: Array) -> None:
    """out[i] = source[indices[i]]."""
    for row in range(indices.size):
        origin, target = source[indices[row]], out[row]
        for j in range(target.size):
            target[j] = origin[j]


@team
def team_gather(source: Array, indices: Array, out: Array, segments: int) -> None:
    """Compute the rows of each segment in parallel."""
    share(copy_rows, (indices, out), (source,), segments)


@inner
def divide_rows(indices: Array, out: Array, source: Array, divisor: Scalar) -> None:
    """out[i] = source[indices[i]] / divisor, in out's type."""
    for row in range(indices.size):
        origin, target = source[indices[row]], out[row]
        for j in range(target.size):
            target[j] = out.dtype.type(origin[j]) / divisor


@team
def team_gather_bytes(source: Array, indices: Array, out: Array, divisor: Scalar, segments: int) -> None:
    """Compute the rows of each segment in parallel."""
    share(divide_rows, (indices, out), (source, divisor), segments)


class GatherNumba(Compiled, GatherNumPy):
    """Copy rows with all threads."""

    def gather(self, source: Array, indices: Array, out: Array, divisor: float = 1.0) -> Array:
        """Copy rows with all threads, and bytes in one pass; see benchmarks/operations.py, gather."""
        if out.ndim > 2:  # rows of numbers, for the kernels
            self.gather(source.reshape(len(source), -1), indices, out.reshape(len(out), -1), divisor)
            return out
        scaled = source.dtype == np.uint8 and out.dtype.kind == "f"
        segments = self._segments(len(out)) if out.size >= SMALL_ARRAY else 1
        if out.ndim != 2 or (segments == 1 and not scaled) or not usual(out, *([] if scaled else [source])):
            return super().gather(source, indices, out, divisor)
        if scaled:
            team_gather_bytes(source, indices, out, out.dtype.type(divisor), segments)
        else:
            team_gather(source, indices, out, segments)
        return out
