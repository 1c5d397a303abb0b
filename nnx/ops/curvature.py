"""The first and second derivatives of activations, from their outputs: for terms that contain a Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx.ops.base import Array, OnGpu, Operations

Derivatives = Callable[[Any, Array, float], tuple[Array, Array]]


def _sigmoid(xp: Any, y: Array, alpha: float) -> tuple[Array, Array]:
    slope = y * (1.0 - y)
    return slope, slope * (1.0 - 2.0 * y)


def _tanh(xp: Any, y: Array, alpha: float) -> tuple[Array, Array]:
    slope = 1.0 - y * y
    return slope, -2.0 * y * slope


def _softplus(xp: Any, y: Array, alpha: float) -> tuple[Array, Array]:
    slope = -xp.expm1(-y)
    return slope, slope * (1.0 - slope)


# y = f(x): f'(x) and f''(x) from y; those of activations with a kink at 0 are 0 and 0, or α and 0, there
DERIVATIVES: dict[str, Derivatives] = {
    "identity": lambda xp, y, alpha: (1.0 + 0.0 * y, 0.0 * y),
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
    "relu": lambda xp, y, alpha: (xp.where(y > 0.0, 1.0, 0.0 * y), 0.0 * y),
    "leaky_relu": lambda xp, y, alpha: (xp.where(y > 0.0, 1.0, alpha + 0.0 * y), 0.0 * y),
    "elu": lambda xp, y, alpha: (
        xp.where(y > 0.0, 1.0 + 0.0 * y, y + alpha), xp.where(y > 0.0, 0.0 * y, y + alpha)
    ),
}  # fmt: skip


class Curvature(Operations):
    """Derivatives of activations in the plain form."""

    def activation_derivatives(
        self, kind: str, y: Array, slope: Array, curvature: Array, alpha: float = 0.0
    ) -> Array:
        """slope = f'(x) and curvature = f''(x), from y = f(x); `kind` is one of `DERIVATIVES`."""
        slope[...], curvature[...] = DERIVATIVES[kind](self.xp, y, alpha)
        return slope


class CurvatureCuPy(OnGpu, Curvature):
    """Derivatives of activations on the GPU, in the plain form."""

    def activation_derivatives(
        self, kind: str, y: Array, slope: Array, curvature: Array, alpha: float = 0.0
    ) -> Array:
        """Use the plain form."""
        with self._hold:
            return super().activation_derivatives(kind, y, slope, curvature, alpha)
