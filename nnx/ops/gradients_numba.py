"""Compiled twin of gradients.py: the sum of squares, from which the other operations follow."""

from __future__ import annotations

from numba import prange

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, part_sum, team
from nnx.ops.gradients import GradientsNumPy

NUMBERS = 8192  # that are summed in their own type; what comes of them is added in float64


@part_sum
def sum_of_squares(g: Array) -> Scalar:
    """Σ g², block by block in g's type: infinite where it does not fit."""
    total = 0.0
    for start in range(0, g.size, NUMBERS):
        some = g[start : start + NUMBERS]
        squares = g.dtype.type(0)
        for i in range(some.size):
            squares += some[i] * some[i]
        total += squares
    return total


@team
def team_sum_of_squares(g: Array, totals: Array, parts: int) -> None:
    """In `totals` the sum of each part."""
    for index in prange(parts):
        totals[index] = sum_of_squares(g[index * g.size // parts : (index + 1) * g.size // parts])


class GradientsNumba(Compiled, GradientsNumPy):
    """The forms in place, with squares summed by the kernel: NumPy's BLAS is not entered."""

    def _sum_of_squares(self, flat: Array) -> float:
        if self.threads > 1 and flat.size >= SMALL_ARRAY:
            return self._total(team_sum_of_squares, (flat,), self.threads)
        return float(sum_of_squares(flat))
