"""Compiled form of gradients.py: the sum of squares, which the other operations use."""

from __future__ import annotations

from numba import prange

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, segment_sum, team
from nnx.ops.gradients import GradientsNumPy

NUMBERS = 8192  # so many are summed in their own type; these sums are added in float64


@segment_sum
def sum_of_squares(g: Array) -> Scalar:
    """Σ g², block by block in g's type; infinite if it overflows."""
    total = 0.0
    for start in range(0, g.size, NUMBERS):
        some = g[start : start + NUMBERS]
        squares = g.dtype.type(0)
        for i in range(some.size):
            squares += some[i] * some[i]
        total += squares
    return total


@team
def team_sum_of_squares(g: Array, totals: Array, segments: int) -> None:
    """Compute the sum of squares of each segment in parallel, into `totals`."""
    for index in prange(segments):
        totals[index] = sum_of_squares(g[index * g.size // segments : (index + 1) * g.size // segments])


class GradientsNumba(Compiled, GradientsNumPy):
    """The forms in place, but the kernel sums the squares, so that NumPy's BLAS is not used."""

    def _sum_of_squares(self, flat: Array) -> float:
        if self.threads > 1 and flat.size >= SMALL_ARRAY:
            return self._total(team_sum_of_squares, (flat,), self.threads)
        return float(sum_of_squares(flat))
