"""What is done to gradients before an update: clipping, and the search for numbers that are not finite."""

from __future__ import annotations

from collections.abc import Sequence

from nnx.ops.base import Array, Operations


class Gradients(Operations):
    """Clipping and the search for faults in the plain form."""

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

    def raise_fault(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Write `step` (from 1) into `fault` if it is still zero and the loss or a gradient is not finite."""
        xp = self.xp
        finite = xp.all(xp.isfinite(value)) & xp.all(xp.isfinite(gradients))
        fault[...] = xp.where(finite | (fault != 0), fault, step)
        return fault
