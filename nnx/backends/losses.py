"""The losses, written plainly: each row's loss and its gradient in y_pred.

An entry of `LOSSES` takes ``(backend, y, p, parameter)``, y and p of shape (rows, features), and returns
``(Σ_j ℓ_ij, ∂ℓ_ij/∂p_ij)`` of shapes (rows,) and (rows, features). Averaging over features, rows and
sample weights is done once, in `Backend.loss`. The kinds ending in ``_from_logits`` take what goes *into*
a final sigmoid or softmax and give the combined gradient, which neither overflows nor loses digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnx.backends.activations import sigmoid

if TYPE_CHECKING:
    from nnx.backends.base import Backend

Array = Any
RowLoss = Callable[["Backend", Array, Array, float], tuple[Array, Array]]


def squared_error(backend: Backend, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = (p − y)², gradient 2 (p − y)."""
    e = p - y
    return backend.xp.sum(e * e, axis=1), 2.0 * e


def absolute_error(backend: Backend, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = |p − y|, gradient sign(p − y), zero where they are equal."""
    xp = backend.xp
    e = p - y
    return xp.sum(xp.abs(e), axis=1), xp.sign(e)


def huber(backend: Backend, y: Array, p: Array, delta: float) -> tuple[Array, Array]:
    """ℓ = e²/2 where |e| ≤ δ, else δ (|e| − δ/2); the gradient is e clipped to ±δ."""
    xp = backend.xp
    e = p - y
    clipped = xp.clip(e, -delta, delta)
    return xp.sum(clipped * (e - 0.5 * clipped), axis=1), clipped


def binary_cross_entropy(backend: Backend, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = −y log p − (1 − y) log(1 − p), gradient (p − y) / (p (1 − p)), p clipped to [ε, 1 − ε]."""
    xp = backend.xp
    p = xp.clip(p, epsilon, 1.0 - epsilon)
    values = -(y * xp.log(p) + (1.0 - y) * xp.log1p(-p))
    return xp.sum(values, axis=1), (p - y) / (p * (1.0 - p))


def binary_cross_entropy_from_logits(
    backend: Backend, y: Array, z: Array, parameter: float
) -> tuple[Array, Array]:
    """ℓ = softplus(z) − y z = (max(z, 0) − y z) + log(1 + e^−|z|), gradient σ(z) − y.

    In this order no large numbers cancel where y is 0 or 1: each bracket is small where ℓ is.
    """
    xp = backend.xp
    values = (xp.maximum(z, 0.0) - y * z) + xp.log1p(xp.exp(-xp.abs(z)))
    return xp.sum(values, axis=1), sigmoid(backend, z) - y


def categorical_cross_entropy(backend: Backend, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = −Σ_j y_j log p_j, gradient −y / p, p clipped to [ε, 1]."""
    xp = backend.xp
    y = one_hot(backend, y, p)
    p = xp.clip(p, epsilon, 1.0)
    return -xp.sum(y * xp.log(p), axis=1), -y / p


def categorical_cross_entropy_from_logits(
    backend: Backend, y: Array, z: Array, parameter: float
) -> tuple[Array, Array]:
    """ℓ = Σ_j y_j (log Σ_k e^z_k − z_j), gradient softmax(z) Σ_j y_j − y."""
    xp = backend.xp
    y = one_hot(backend, y, z)
    z = z - xp.max(z, axis=1, keepdims=True)
    e = xp.exp(z)
    total = xp.sum(e, axis=1, keepdims=True)
    mass = xp.sum(y, axis=1, keepdims=True)
    values = xp.where(y != 0.0, y * (xp.log(total) - z), 0.0)  # 0 where z is −∞, which times 0 is NaN
    return xp.sum(values, axis=1), e / total * mass - y


def one_hot(backend: Backend, y: Array, like: Array) -> Array:
    """Integer labels (rows,) as rows of zeros with a one; dense targets pass unchanged."""
    if y.ndim == like.ndim:
        return y
    return (y[:, None] == backend.xp.arange(like.shape[1])).astype(like.dtype)


LOSSES: dict[str, RowLoss] = {
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_from_logits": binary_cross_entropy_from_logits,
    "categorical_cross_entropy": categorical_cross_entropy,
    "categorical_cross_entropy_from_logits": categorical_cross_entropy_from_logits,
}
