"""Compiled form of averages.py."""

from __future__ import annotations

from nnx.ops.averages import AveragesNumPy
from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, team
from nnx.ops.share_numba import share as share_work


@inner
def average(a: Array, w: Array, share: Scalar) -> None:
    """a = a + share (w − a)."""
    for i in range(w.size):
        a[i] += share * (w[i] - a[i])


@team
def team_average(a: Array, w: Array, share: Scalar, segments: int) -> None:
    """Update each segment of the flat buffers in parallel."""
    share_work(average, (a, w), (share,), segments)


class AveragesNumba(Compiled, AveragesNumPy):
    """The running average in one pass."""

    def average_step(self, average: Array, values: Array, share: float) -> Array:
        """Update in one pass; see benchmarks/operations.py, average_step."""
        segments = self.threads if values.size >= SMALL_ARRAY else 1
        team_average(average, values, values.dtype.type(share), segments)
        return average
