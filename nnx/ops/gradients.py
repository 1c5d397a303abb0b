"""Clip gradients before an update, and search them for values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import Elementwise
from nnx.ops.sums import sum_of_squares


class Gradients(Operations):
    """Clipping and the search for values that are not finite in the plain form."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """g = g · min(1, limit / ‖g‖₂), where ‖g‖₂ is the norm of all given buffers together.

        ‖g‖ = t ‖g / t‖, where t is the largest |g|, or the limit if that is larger. So no square overflows.
        """
        xp = self.xp
        top = limit
        for g in gradients:
            top = xp.maximum(xp.max(xp.abs(g)), top) if g.size else top
        squares = sum(xp.sum(xp.square(g / top)) for g in gradients)
        factor = 1.0 / xp.maximum(xp.sqrt(squares) * (top / limit), 1.0)
        for g in gradients:
            g *= factor

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """Clip each gradient: g = min(max(g, −limit), limit)."""
        gradients[...] = self.xp.clip(gradients, -limit, limit)
        return gradients

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Write `step` (from 1) into `fault`, if it is still 0 and the loss or a gradient is not finite."""
        xp = self.xp
        finite = xp.all(xp.isfinite(value)) & xp.all(xp.isfinite(gradients))
        fault[...] = xp.where(finite | (fault != 0), fault, step)
        return fault


class GradientsNumPy(Gradients):
    """Clipping and the search for values that are not finite in place."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """Sum the squares in one pass; write only if the norm exceeds the limit."""
        norm = math.sqrt(sum(self._sum_of_squares(g) for g in gradients))
        if not math.isfinite(norm):
            super().clip_by_norm(gradients, limit)
        elif norm > limit:
            for g in gradients:
                g *= limit / norm

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """Clip each gradient in place."""
        return np.clip(gradients, -limit, limit, out=gradients)

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Check the sum of squares; check each gradient only if the sum is not finite."""
        if fault[0] == 0 and not (
            math.isfinite(value[0])
            and (math.isfinite(self._sum_of_squares(gradients)) or np.isfinite(gradients).all())
        ):
            fault[0] = step
        return fault

    def _sum_of_squares(self, flat: Array) -> float:
        return sum_of_squares(flat)


# Several threads may write, but all write the same step.
FLAG_NONFINITE = Elementwise(
    "flag_nonfinite",
    inputs="T gradient, raw T value, int64 step",
    outputs="raw int64 fault",
    body="if (!(isfinite(gradient) && isfinite(value[0])) && fault[0] == 0) fault[0] = step;",
)


class GradientsCuPy(OnGpu, Gradients):
    """Clipping and the search for values that are not finite on the GPU."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """Clip with the plain form."""
        with self._hold:
            super().clip_by_norm(gradients, limit)

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """Clip each gradient in place."""
        with self._hold:
            self.xp.clip(gradients, -limit, limit, out=gradients)
        return gradients

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Search with one launch; the host reads `fault` at the end of the epoch."""
        with self._hold:
            FLAG_NONFINITE.kernel(gradients if gradients.size else value, value, step, fault)
        return fault
