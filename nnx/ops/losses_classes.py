"""Losses of classes besides the cross-entropies: hinge, squared hinge, and the focal cross-entropies."""

from __future__ import annotations

from nnx.ops.activations import sigmoids, softplus
from nnx.ops.base import Array, Operations
from nnx.ops.losses_base import RowLoss, one_hot


def _margins(ops: Operations, y: Array, p: Array) -> tuple[Array, Array]:
    """Return t, which is 1 where y > 0 and −1 elsewhere, and max(1 − t p, 0)."""
    xp = ops.xp
    t = xp.where(one_hot(ops, y, p) > 0.0, 1.0, -1.0).astype(p.dtype)
    return t, xp.maximum(1.0 - t * p, 0.0)


def _hinge(ops: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = max(1 − t p, 0), gradient −t where it is above 0."""
    t, margin = _margins(ops, y, p)
    return ops.xp.sum(margin, axis=1), ops.xp.where(margin > 0.0, -t, 0.0)


HINGE = RowLoss(
    _hinge,
    cuda_value="nnx_margin(y, p)",
    cuda_gradient="nnx_margin(y, p) > T(0) ? (y > T(0) ? T(-1) : T(1)) : T(0)",
    cuda_functions="""
template <typename T> __device__ inline T nnx_margin(T y, T p) {
    const T margin = T(1) - (y > T(0) ? p : -p);
    return margin < T(0) ? T(0) : margin;
}
""",
)


def _squared_hinge(ops: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = max(1 − t p, 0)², gradient −2 t max(1 − t p, 0)."""
    t, margin = _margins(ops, y, p)
    return ops.xp.sum(margin * margin, axis=1), -2.0 * t * margin


SQUARED_HINGE = RowLoss(
    _squared_hinge,
    cuda_value="nnx_margin(y, p) * nnx_margin(y, p)",
    cuda_gradient="T(y > T(0) ? -2 : 2) * nnx_margin(y, p)",
    cuda_functions=HINGE.cuda_functions,
)


def _binary_focal(ops: Operations, y: Array, p: Array, parameter: tuple[float, float]) -> tuple[Array, Array]:
    """ℓ = −y (1 − p)^γ log p − (1 − y) p^γ log(1 − p); p is clipped to [ε, 1 − ε].

    The gradient is y (1 − p)^γ (γ log p / (1 − p) − 1 / p) − (1 − y) p^γ (γ log(1 − p) / p − 1 / (1 − p)).
    """
    epsilon, gamma = parameter
    xp = ops.xp
    p = xp.clip(p, epsilon, 1.0 - epsilon)
    q, log_p, log_q = 1.0 - p, xp.log(p), xp.log1p(-p)
    ones, zeros = y * xp.exp(gamma * log_q), (1.0 - y) * xp.exp(gamma * log_p)
    gradient = ones * (gamma * log_p / q - 1.0 / p) - zeros * (gamma * log_q / p - 1.0 / q)
    return -xp.sum(ones * log_p + zeros * log_q, axis=1), gradient


BINARY_FOCAL = RowLoss(
    _binary_focal,
    cuda_value="nnx_focal(y, nnx_clip(p, a, T(1) - a), more[1])",
    cuda_gradient="nnx_focal_slope(y, nnx_clip(p, a, T(1) - a), more[1])",
    cuda_functions="""
template <typename T> __device__ inline T nnx_focal(T y, T p, T gamma) {
    const T log_p = log(p), log_q = log1p(-p);
    return -(y * exp(gamma * log_q) * log_p + (T(1) - y) * exp(gamma * log_p) * log_q);
}
template <typename T> __device__ inline T nnx_focal_slope(T y, T p, T gamma) {
    const T q = T(1) - p, log_p = log(p), log_q = log1p(-p);
    return y * exp(gamma * log_q) * (gamma * log_p / q - T(1) / p)
        - (T(1) - y) * exp(gamma * log_p) * (gamma * log_q / p - T(1) / q);
}
""",
)


def _binary_focal_from_logits(
    ops: Operations, y: Array, z: Array, parameter: tuple[float, float]
) -> tuple[Array, Array]:
    """ℓ = y q^γ s(−z) + (1 − y) p^γ s(z) with p = σ(z), q = σ(−z), s = softplus.

    The gradient is (1 − y) p^γ (γ q s(z) + p) − y q^γ (γ p s(−z) + q).
    """
    gamma = parameter[1]
    xp = ops.xp
    (p, q), of_one, of_zero = sigmoids(ops, z), softplus(ops, -z), softplus(ops, z)  # −log p, −log q
    ones, zeros = y * xp.exp(-gamma * of_zero), (1.0 - y) * xp.exp(-gamma * of_one)
    gradient = zeros * (gamma * (q * of_zero) + p) - ones * (gamma * (p * of_one) + q)
    return xp.sum(ones * of_one + zeros * of_zero, axis=1), gradient


BINARY_FOCAL_FROM_LOGITS = RowLoss(
    _binary_focal_from_logits,
    cuda_value="y * exp(-more[1] * nnx_softplus(p)) * nnx_softplus(-p)"
    " + (T(1) - y) * exp(-more[1] * nnx_softplus(-p)) * nnx_softplus(p)",
    cuda_gradient="nnx_focal_slope(y, p, more[1])",
    cuda_functions="""
template <typename T> __device__ inline T nnx_focal_slope(T y, T z, T gamma) {
    const T p = nnx_sigmoid(z), q = nnx_sigmoid(-z), of_one = nnx_softplus(-z), of_zero = nnx_softplus(z);
    return (T(1) - y) * exp(-gamma * of_one) * (gamma * (q * of_zero) + p)
        - y * exp(-gamma * of_zero) * (gamma * (p * of_one) + q);
}
""",
)


def _categorical_focal(
    ops: Operations, y: Array, p: Array, parameter: tuple[float, float]
) -> tuple[Array, Array]:
    """ℓ = −Σ_j y_j (1 − p_j)^γ log p_j; p is clipped to [ε, 1 − ε].

    The gradient is y (1 − p)^γ (γ log p / (1 − p) − 1 / p).
    """
    epsilon, gamma = parameter
    xp = ops.xp
    p = xp.clip(p, epsilon, 1.0 - epsilon)
    log_p = xp.log(p)
    ones = one_hot(ops, y, p) * xp.exp(gamma * xp.log1p(-p))
    return -xp.sum(ones * log_p, axis=1), ones * (gamma * log_p / (1.0 - p) - 1.0 / p)


CATEGORICAL_FOCAL = RowLoss(
    _categorical_focal,
    cuda_value="y * nnx_focal(nnx_clip(p, a, T(1) - a), more[1])",
    cuda_gradient="y * nnx_focal_slope(nnx_clip(p, a, T(1) - a), more[1])",
    cuda_functions="""
template <typename T> __device__ inline T nnx_focal(T p, T gamma) {
    return -exp(gamma * log1p(-p)) * log(p);
}
template <typename T> __device__ inline T nnx_focal_slope(T p, T gamma) {
    return exp(gamma * log1p(-p)) * (gamma * log(p) / (T(1) - p) - T(1) / p);
}
""",
)


def _categorical_focal_from_logits(
    ops: Operations, y: Array, z: Array, parameter: tuple[float, float]
) -> tuple[Array, Array]:
    """ℓ = −Σ_j y_j (1 − p_j)^γ log p_j with p = softmax(z).

    With h_j = (1 − p_j)^γ (γ p_j log p_j / (1 − p_j) − 1), the gradient is y_k h_k − p_k Σ_j y_j h_j. The
    ratio log p / (1 − p) is −1 at p = 1.
    """
    gamma = parameter[1]
    xp = ops.xp
    y = one_hot(ops, y, z)
    shifted = z - xp.max(z, axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    p, q = xp.exp(log_p), -xp.expm1(log_p)
    below = xp.where(q > 0.0, q, 1.0)
    factor = xp.where(q > 0.0, xp.exp(gamma * xp.log(below)), float(gamma == 0.0))
    values = xp.where(y != 0.0, -y * factor * log_p, 0.0)  # 0 if log p is −∞, because 0 · ∞ is NaN
    ratio = xp.where(q > 0.0, log_p / below, -1.0)
    h = y * factor * (gamma * xp.where(p > 0.0, p * ratio, 0.0 * p) - 1.0)
    return xp.sum(values, axis=1), h - p * xp.sum(h, axis=1, keepdims=True)


CATEGORICAL_FOCAL_FROM_LOGITS = RowLoss(
    _categorical_focal_from_logits,
    cuda_functions="""
template <typename T> __device__ inline T nnx_focal_factor(T log_p, T gamma) {
    const T q = -expm1(log_p);
    return q > T(0) ? exp(gamma * log(q)) : T(gamma == T(0));
}
template <typename T> __device__ inline T nnx_focal_h(T log_p, T gamma) {
    const T q = -expm1(log_p), p = exp(log_p), ratio = q > T(0) ? log_p / q : T(-1);
    return nnx_focal_factor(log_p, gamma) * (gamma * (p > T(0) ? p * ratio : T(0) * p) - T(1));
}
""",
    cuda_row="""
        const T gamma = more[1];
        nnx_row z(prediction + start, columns);
        NNX_TARGETS
        T top = prediction[start];
        NNX_PARTS(part) {
            const nnx_four& four = z[part];
            NNX_EACH(k, j, part) top = four.at[k] > top ? four.at[k] : top;
        }
        top = nnx_block_max(top, shared);
        T total = T(0), slopes = T(0);
        NNX_PARTS(part) {
            const nnx_four& four = z[part];
            NNX_EACH(k, j, part) total += exp(four.at[k] - top);
        }
        total = log(nnx_block_sum(total, shared));
        NNX_PARTS(part) {
            const nnx_four& four = z[part];
            NNX_OF_PART(part)
            NNX_EACH(k, j, part) {
                const T log_p = four.at[k] - top - total, y = NNX_Y(k, j);
                if (y != T(0)) {  // 0 times an infinite logarithm is NaN
                    sum -= y * nnx_focal_factor(log_p, gamma) * log_p;
                    slopes += y * nnx_focal_h(log_p, gamma);
                }
            }
        }
        slopes = nnx_block_sum(slopes, shared);
        if (wanted) NNX_PARTS(part) {
            nnx_four four = z[part];
            NNX_OF_PART(part)
            NNX_EACH(k, j, part) {
                const T log_p = four.at[k] - top - total, y = NNX_Y(k, j);
                const T own = y != T(0) ? y * nnx_focal_h(log_p, gamma) : T(0);
                four.at[k] = factor * (own - exp(log_p) * slopes);
            }
            nnx_write(dy + start, columns, part, four);
        }
""",
)
