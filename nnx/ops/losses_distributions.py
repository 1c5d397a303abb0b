"""Losses of a predicted distribution: its quantiles, the rate of a Poisson, mean and spread of a normal."""

from __future__ import annotations

import math

from nnx.ops.activations import sigmoid, softplus
from nnx.ops.base import Array, Operations
from nnx.ops.losses_base import RowLoss

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
STRAIGHT = 60.0  # from here on, a straight line replaces e^z: float32 ends at e^88


def _pinball(ops: Operations, y: Array, p: Array, levels: tuple[float, ...]) -> tuple[Array, Array]:
    """ℓ_j = τ_j (y − p_j) if p_j < y, else (1 − τ_j) (p_j − y); gradient −τ_j or 1 − τ_j, 0 at p_j = y."""
    xp = ops.xp
    e = p - y[:, None]
    values, gradient = xp.empty_like(e), xp.empty_like(e)
    for column, level in enumerate(levels):
        some = e[:, column]
        values[:, column] = xp.maximum((1.0 - level) * some, -level * some)
        gradient[:, column] = xp.where(some > 0.0, 1.0 - level, -level) * xp.abs(xp.sign(some))
    return xp.sum(values, axis=1), gradient


PINBALL = RowLoss(
    _pinball,
    one_target=True,
    cuda_value="p > y ? (T(1) - more[j]) * (p - y) : more[j] * (y - p)",
    cuda_gradient="p > y ? T(1) - more[j] : (p < y ? -more[j] : p - y)",
)


def _poisson(ops: Operations, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = p − y log p, gradient 1 − y / p; p is at least ε."""
    xp = ops.xp
    p = xp.maximum(p, epsilon)
    return xp.sum(p - y * xp.log(p), axis=1), 1.0 - y / p


POISSON = RowLoss(
    _poisson,
    cuda_value="(p < a ? a : p) - y * log(p < a ? a : p)",
    cuda_gradient="T(1) - y / (p < a ? a : p)",
)


def _poisson_from_log(ops: Operations, y: Array, z: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = e^z − y z, gradient e^z − y; from z = 60 on, a straight line replaces e^z, which would overflow."""
    xp = ops.xp
    z, line = xp.minimum(z, STRAIGHT), xp.maximum(z - STRAIGHT, 0.0)
    rate = xp.exp(z)
    return xp.sum((rate - y * z) + (rate - y) * line, axis=1), rate - y


POISSON_FROM_LOG = RowLoss(
    _poisson_from_log,
    cuda_value="nnx_poisson(y, p > T(60) ? T(60) : p, p < T(60) ? T(0) : p - T(60))",
    cuda_gradient="exp(p > T(60) ? T(60) : p) - y",
    cuda_functions="""
template <typename T> __device__ inline T nnx_poisson(T y, T z, T line) {
    const T rate = exp(z);
    return (rate - y * z) + (rate - y) * line;
}
""",
)


def _gaussian(ops: Operations, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = log σ + ((y − μ) / σ)² / 2 + log(2π) / 2, where a row of p is (μ, s) and σ = softplus(s) + ε.

    With u = (y − μ) / σ, the gradient is −u / σ and (1 − u²) / σ · sigmoid(s).
    """
    xp = ops.xp
    mean, s = p[:, 0], p[:, 1]
    sigma = softplus(ops, s) + epsilon
    u = (y - mean) / sigma
    gradient = xp.stack([-u / sigma, (1.0 - u * u) / sigma * sigmoid(ops, s)], axis=1)
    return xp.log(sigma) + 0.5 * (u * u) + HALF_LOG_TWO_PI, gradient


GAUSSIAN = RowLoss(
    _gaussian,
    one_target=True,
    cuda_value="j == 0 ? nnx_gaussian(y, p, prediction[start + 1], a) : T(0)",
    cuda_gradient="nnx_gaussian_slope(y, prediction[start], prediction[start + 1], a, j == 0)",
    cuda_functions="""
template <typename T> __device__ inline T nnx_gaussian(T y, T mean, T s, T epsilon) {
    const T sigma = nnx_softplus(s) + epsilon, u = (y - mean) / sigma;
    return log(sigma) + T(0.5) * (u * u) + T(0.9189385332046727);
}
template <typename T> __device__ inline T nnx_gaussian_slope(T y, T mean, T s, T epsilon, bool of_mean) {
    const T sigma = nnx_softplus(s) + epsilon, u = (y - mean) / sigma;
    return of_mean ? -u / sigma : (T(1) - u * u) / sigma * nnx_sigmoid(s);
}
""",
)
