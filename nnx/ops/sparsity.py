"""How far the mean activation of a unit is from its target: the term of sparse codes."""

from __future__ import annotations

import math

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import FUNCTIONS, Elementwise

ROUNDING = 1e-7  # about the rounding of a float32 near 1


class Sparsity(Operations):
    """The divergence in the plain form."""

    def divergences(self, means: Array, target: float, divergences: Array, slopes: Array) -> Array:
        """KL(t ‖ m) = t ln(t / m) + (1 − t) ln((1 − t) / (1 − m)) for each mean m, and its derivative by m.

        Both are NaN if m is outside [0, 1]; a mean of 0 or 1 is moved inside by `ROUNDING`.
        """
        xp, t = self.xp, target
        inside = (means >= 0.0) & (means <= 1.0 + ROUNDING)
        m = xp.where(inside, xp.clip(means, ROUNDING, 1.0 - ROUNDING), math.nan)
        divergences[...] = t * xp.log(t / m) + (1.0 - t) * xp.log((1.0 - t) / (1.0 - m))
        slopes[...] = (1.0 - t) / (1.0 - m) - t / m
        return divergences


DIVERGENCES = Elementwise(
    "divergences",
    inputs="T mean, T target, T rounding, T nothing",
    outputs="T divergence, T slope",
    body="const bool inside = mean >= T(0) && mean <= T(1) + rounding;"
    " const T m = inside ? nnx_clip(mean, rounding, T(1) - rounding) : nothing, rest = T(1) - target;"
    " divergence = target * log(target / m) + rest * log(rest / (T(1) - m));"
    " slope = rest / (T(1) - m) - target / m;",
    preamble=FUNCTIONS,
)


class SparsityCuPy(OnGpu, Sparsity):
    """The divergence on the GPU."""

    def divergences(self, means: Array, target: float, divergences: Array, slopes: Array) -> Array:
        """Use one launch."""
        with self._hold:
            DIVERGENCES.kernel(means, target, ROUNDING, math.nan, divergences, slopes)
        return divergences
