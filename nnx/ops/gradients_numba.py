"""Compiled form of gradients.py: the sum of squares, which the other operations use."""

from __future__ import annotations

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, inner_sum, team
from nnx.ops.gradients import GradientsNumPy
from nnx.ops.share_numba import share

NUMBERS = 8192  # so many are summed in their own type; these sums are added in float64


@inner_sum
def sum_of_squares(g: Array, totals: Array) -> None:
    """Compute Σ g² into ``totals[0]``, block by block in g's type; infinite if it overflows."""
    total = 0.0
    for start in range(0, g.size, NUMBERS):
        some = g[start : start + NUMBERS]
        squares = g.dtype.type(0)
        for i in range(some.size):
            squares += some[i] * some[i]
        total += squares
    totals[0] = total


@team
def team_sum_of_squares(g: Array, totals: Array, segments: int) -> None:
    """Compute the sum of squares of each segment in parallel, into `totals`."""
    share(sum_of_squares, (g, totals), (), segments)


class GradientsNumba(Compiled, GradientsNumPy):
    """The forms in place, but the kernel sums the squares, so that NumPy's BLAS is not used."""

    def _sum_of_squares(self, flat: Array) -> float:
        segments = self.threads if flat.size >= SMALL_ARRAY else 1
        return self._total(team_sum_of_squares, (flat,), segments)
