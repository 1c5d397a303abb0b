"""Compiled forms of gather.py."""

from __future__ import annotations

import numpy as np
from numba import prange

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, team, usual
from nnx.ops.gather import GatherNumPy


@inner
def copy_rows(source: Array, indices: Array, out: Array) -> None:
    """out[i] = source[indices[i]]."""
    for row in range(indices.size):
        origin, target = source[indices[row]], out[row]
        for j in range(target.size):
            target[j] = origin[j]


@team
def team_gather(source: Array, indices: Array, out: Array, segments: int) -> None:
    """Compute the rows of each segment in parallel."""
    for index in prange(segments):
        low, high = index * len(out) // segments, (index + 1) * len(out) // segments
        copy_rows(source, indices[low:high], out[low:high])


@inner
def divide_rows(source: Array, indices: Array, out: Array, divisor: Scalar) -> None:
    """out[i] = source[indices[i]] / divisor, in out's type."""
    for row in range(indices.size):
        origin, target = source[indices[row]], out[row]
        for j in range(target.size):
            target[j] = out.dtype.type(origin[j]) / divisor


@team
def team_gather_bytes(source: Array, indices: Array, out: Array, divisor: Scalar, segments: int) -> None:
    """Compute the rows of each segment in parallel."""
    for index in prange(segments):
        low, high = index * len(out) // segments, (index + 1) * len(out) // segments
        divide_rows(source, indices[low:high], out[low:high], divisor)


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
