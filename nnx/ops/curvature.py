"""The first and second derivatives of activations, from their outputs: for terms that contain a Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import Elementwise

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


@dataclass(frozen=True)
class Derivative:
    """The derivatives f'(x) and f''(x) of an activation, from y = f(x).

    Attributes
    ----------
    plain : callable
        ``plain(xp, y, alpha)`` returns both.
    slope, curvature : str
        CUDA code for them, from ``y`` and ``alpha``; the second may use ``slope``.
    """

    plain: Derivatives
    slope: str
    curvature: str = "T(0) * y"


# those of activations with a kink at 0 are 0 and 0, or α and 0, there; NaN stays NaN
DERIVATIVES = {
    "identity": Derivative(lambda xp, y, alpha: (1.0 + 0.0 * y, 0.0 * y), "T(1) + T(0) * y"),
    "sigmoid": Derivative(_sigmoid, "y * (T(1) - y)", "slope * (T(1) - T(2) * y)"),
    "tanh": Derivative(_tanh, "T(1) - y * y", "T(-2) * y * slope"),
    "softplus": Derivative(_softplus, "-expm1(-y)", "slope * (T(1) - slope)"),
    "relu": Derivative(
        lambda xp, y, alpha: (xp.where(y > 0.0, 1.0, 0.0 * y), 0.0 * y), "y > T(0) ? T(1) : T(0) * y"
    ),
    "leaky_relu": Derivative(
        lambda xp, y, alpha: (xp.where(y > 0.0, 1.0, alpha + 0.0 * y), 0.0 * y),
        "y > T(0) ? T(1) : alpha + T(0) * y",
    ),
    "elu": Derivative(
        lambda xp, y, alpha: (
            xp.where(y > 0.0, 1.0 + 0.0 * y, y + alpha), xp.where(y > 0.0, 0.0 * y, y + alpha)
        ),
        "y > T(0) ? T(1) + T(0) * y : y + alpha",
        "y > T(0) ? T(0) * y : y + alpha",
    ),
}  # fmt: skip


class Curvature(Operations):
    """Derivatives of activations in the plain form."""

    def activation_derivatives(
        self, kind: str, y: Array, slope: Array, curvature: Array, alpha: float = 0.0
    ) -> Array:
        """slope = f'(x) and curvature = f''(x), from y = f(x); `kind` is one of `DERIVATIVES`."""
        slope[...], curvature[...] = DERIVATIVES[kind].plain(self.xp, y, alpha)
        return slope


DERIVATIVE = {
    kind: Elementwise(
        f"{kind}_derivatives",
        inputs="T y, T alpha",
        outputs="T slope, T curvature",
        body=f"slope = {derivative.slope}; curvature = {derivative.curvature};",
    )
    for kind, derivative in DERIVATIVES.items()
}


class CurvatureCuPy(OnGpu, Curvature):
    """Derivatives of activations on the GPU."""

    def activation_derivatives(
        self, kind: str, y: Array, slope: Array, curvature: Array, alpha: float = 0.0
    ) -> Array:
        """Use one launch."""
        with self._hold:
            DERIVATIVE[kind].kernel(y, alpha, slope, curvature)
        return slope
