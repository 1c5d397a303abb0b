"""Compiled forms of prelu.py: a segment of the rows on each thread, in one pass."""

from __future__ import annotations

import math

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, inner, team, usual
from nnx.ops.prelu import PReLUNumPy
from nnx.ops.share_numba import share

ROWS = 128  # so many are summed one by one


@inner
def forward(x: Array, y: Array, alpha: Array) -> None:
    """y = x where x > 0, else α x."""
    for row in range(x.shape[0]):
        for j in range(alpha.size):
            z = x[row, j]
            y[row, j] = z if z > x.dtype.type(0) else alpha[j] * z


@inner
def backward(dy: Array, x: Array, dx: Array, partial: Array, alpha: Array, wants_dx: bool) -> None:
    """dx = dy where x > 0, else α dy; ``partial[0, 0]`` is Σ_rows dy min(x, 0).

    Many rows are summed in blocks of about √rows; ``partial[0, 1]`` is memory for one block.
    """
    sums, block = partial[0, 0], partial[0, 1]
    zero = x.dtype.type(0)
    rows = max(ROWS, int(math.sqrt(x.shape[0])))
    for j in range(sums.size):
        sums[j] = zero
        block[j] = zero
    for row in range(x.shape[0]):
        if row % rows == 0 and row:
            for j in range(sums.size):
                sums[j] += block[j]
                block[j] = zero
        for j in range(alpha.size):
            z = x[row, j]
            block[j] += dy[row, j] * (zero if z > zero else z)
        if wants_dx:
            for j in range(alpha.size):
                dx[row, j] = dy[row, j] if x[row, j] > zero else alpha[j] * dy[row, j]
    for j in range(sums.size):
        sums[j] += block[j]


@team
def team_prelu_forward(x: Array, y: Array, alpha: Array, segments: int) -> None:
    """Compute `forward` for parts of the rows in parallel."""
    share(forward, (x, y), (alpha,), segments)


@team
def team_prelu_backward(
    dy: Array, x: Array, dx: Array, partial: Array, alpha: Array, dalpha: Array, wants_dx: bool
) -> None:
    """Compute `backward` for parts of the rows in parallel, and add up their sums in order."""
    share(backward, (dy, x, dx, partial), (alpha, wants_dx), len(partial))
    for j in range(dalpha.size):
        dalpha[j] = partial[0, 0, j]
    for index in range(1, len(partial)):
        for j in range(dalpha.size):
            dalpha[j] += partial[index, 0, j]


class PReLUNumba(Compiled, PReLUNumPy):
    """Large arrays on all threads."""

    def prelu_forward(self, x: Array, alpha: Array, y: Array) -> Array:
        """Compute a large array by the kernel; see benchmarks/operations.py."""
        if y.size < SMALL_ARRAY or not usual(y, x, alpha):
            return super().prelu_forward(x, alpha, y)
        team_prelu_forward(x, y, alpha, self._segments(len(x)))
        return y

    def prelu_backward(self, dy: Array, x: Array, alpha: Array, dalpha: Array, dx: Array | None) -> Array:
        """Compute a large array by the kernel."""
        if x.size < SMALL_ARRAY or not usual(dalpha, dy, x, alpha, dx):
            return super().prelu_backward(dy, x, alpha, dalpha, dx)
        partial = self._scratch((self._segments(len(x)), 2, alpha.size), x.dtype)
        team_prelu_backward(dy, x, dy if dx is None else dx, partial, alpha, dalpha, dx is not None)
        return dalpha
