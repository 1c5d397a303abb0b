"""What is done to gradients before an update: clipping, and the search for numbers that are not finite."""

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
        """g = g · min(1, limit / ‖g‖₂), the norm taken over all the given buffers together.

        ‖g‖ = t ‖g / t‖ with t the largest |g|, or the limit where that is larger: no square overflows.
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
        """G = min(max(g, −limit), limit), elementwise."""
        gradients[...] = self.xp.clip(gradients, -limit, limit)
        return gradients

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Write `step` (from 1) into `fault` if it is still zero and the loss or a gradient is not finite."""
        xp = self.xp
        finite = xp.all(xp.isfinite(value)) & xp.all(xp.isfinite(gradients))
        fault[...] = xp.where(finite | (fault != 0), fault, step)
        return fault


class GradientsNumPy(Gradients):
    """Clipping and the search for values that are not finite in place."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """The squares are summed in one pass; nothing is written where nothing is clipped."""
        norm = math.sqrt(sum(self._sum_of_squares(g) for g in gradients))
        if not math.isfinite(norm):
            super().clip_by_norm(gradients, limit)
        elif norm > limit:
            for g in gradients:
                g *= limit / norm

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """In place."""
        return np.clip(gradients, -limit, limit, out=gradients)

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """The sum of squares meets every gradient once; only if it is not finite is each looked at."""
        if fault[0] == 0 and not (
            math.isfinite(value[0])
            and (math.isfinite(self._sum_of_squares(gradients)) or np.isfinite(gradients).all())
        ):
            fault[0] = step
        return fault

    def _sum_of_squares(self, flat: Array) -> float:
        return sum_of_squares(flat)


# many threads may write, all of them the same step
FLAG_NONFINITE = Elementwise(
    "flag_nonfinite",
    inputs="T gradient, raw T value, int64 step",
    outputs="raw int64 fault",
    body="if (!(isfinite(gradient) && isfinite(value[0])) && fault[0] == 0) fault[0] = step;",
)


class GradientsCuPy(OnGpu, Gradients):
    """Clipping and the search for values that are not finite on the GPU."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """The plain form."""
        with self._hold:
            super().clip_by_norm(gradients, limit)

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """In place."""
        with self._hold:
            self.xp.clip(gradients, -limit, limit, out=gradients)
        return gradients

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """One launch; the host is told at the end of the epoch, when it reads `fault`."""
        with self._hold:
            FLAG_NONFINITE.kernel(gradients if gradients.size else value, value, step, fault)
        return fault
