"""The losses, written plainly: each row's loss and its gradient in y_pred.

An entry of `LOSSES` takes ``(backend, y, p, parameter)``, y and p of shape (rows, features), and returns
``(Σ_j ℓ_ij, ∂ℓ_ij/∂p_ij)`` of shapes (rows,) and (rows, features). Averaging over features, rows and
sample weights is done once, in `Losses.loss`. The kinds ending in ``_from_logits`` take what goes *into*
a final sigmoid or softmax and give the combined gradient, which neither overflows nor loses digits.
"""

from __future__ import annotations

from collections.abc import Callable

from nnx.ops.activations import sigmoid
from nnx.ops.base import Array, Operations

RowLoss = Callable[[Operations, Array, Array, float], tuple[Array, Array]]


def squared_error(backend: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = (p − y)², gradient 2 (p − y)."""
    e = p - y
    return backend.xp.sum(e * e, axis=1), 2.0 * e


def absolute_error(backend: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = |p − y|, gradient sign(p − y), zero where they are equal."""
    xp = backend.xp
    e = p - y
    return xp.sum(xp.abs(e), axis=1), xp.sign(e)


def huber(backend: Operations, y: Array, p: Array, delta: float) -> tuple[Array, Array]:
    """ℓ = e²/2 where |e| ≤ δ, else δ (|e| − δ/2); the gradient is e clipped to ±δ."""
    xp = backend.xp
    e = p - y
    clipped = xp.clip(e, -delta, delta)
    return xp.sum(clipped * (e - 0.5 * clipped), axis=1), clipped


def binary_cross_entropy(backend: Operations, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = −y log p − (1 − y) log(1 − p), gradient (p − y) / (p (1 − p)), p clipped to [ε, 1 − ε]."""
    xp = backend.xp
    p = xp.clip(p, epsilon, 1.0 - epsilon)
    values = -(y * xp.log(p) + (1.0 - y) * xp.log1p(-p))
    return xp.sum(values, axis=1), (p - y) / (p * (1.0 - p))


def binary_cross_entropy_from_logits(
    backend: Operations, y: Array, z: Array, parameter: float
) -> tuple[Array, Array]:
    """ℓ = softplus(z) − y z = (max(z, 0) − y z) + log(1 + e^−|z|), gradient σ(z) − y.

    In this order no large numbers cancel where y is 0 or 1: each bracket is small where ℓ is.
    """
    xp = backend.xp
    values = (xp.maximum(z, 0.0) - y * z) + xp.log1p(xp.exp(-xp.abs(z)))
    return xp.sum(values, axis=1), sigmoid(backend, z) - y


def categorical_cross_entropy(backend: Operations, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = −Σ_j y_j log p_j, gradient −y / p, p clipped to [ε, 1]."""
    xp = backend.xp
    y = one_hot(backend, y, p)
    p = xp.clip(p, epsilon, 1.0)
    return -xp.sum(y * xp.log(p), axis=1), -y / p


def categorical_cross_entropy_from_logits(
    backend: Operations, y: Array, z: Array, parameter: float
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


def one_hot(backend: Operations, y: Array, like: Array) -> Array:
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


class Losses(Operations):
    """The losses in the plain form."""

    def loss(
        self,
        kind: str,
        y_true: Array,
        y_pred: Array,
        value: Array | None,
        dy: Array | None,
        scale: float = 1.0,
        parameter: float = 0.0,
        weights: Array | None = None,
    ) -> None:
        """value = scale Σ_i w_i Σ_j ℓ_ij / Σ_i w_i and dy = its gradient in y_pred, in one call.

        Parameters
        ----------
        kind : str
            A key of `LOSSES`.
        value : array of shape (1,), or None
        dy : array like y_pred, or None
        scale : float
            1 / features for a mean over features, 1 for a sum.
        parameter : float
            The loss's own constant: Huber's δ, a cross-entropy's clipping ε.
        weights : array of shape (rows,), or None for equal weights
        """
        row_losses, gradient = LOSSES[kind](self, y_true, y_pred, parameter)
        self.average(row_losses, gradient, value, dy, scale, weights)

    def average(
        self,
        row_losses: Array,
        gradient: Array,
        value: Array | None,
        dy: Array | None,
        scale: float,
        weights: Array | None,
    ) -> None:
        """The second half of `loss`: from each row's loss and gradient to the weighted mean's."""
        xp = self.xp
        if weights is None:
            row_weights = scale / row_losses.shape[0]
            column = row_weights
        else:
            # only their ratios count: times a power of two, which is exact, so that their sum fits the type
            weights = xp.ldexp(weights, -xp.frexp(xp.max(weights))[1])
            total = xp.sum(weights)  # zero where a batch drew only rows that do not count
            row_weights = weights * (scale / xp.where(total > 0, total, 1.0))
            column = row_weights[:, None]
        if value is not None:
            value[...] = xp.sum(row_losses * row_weights)
        if dy is not None:
            dy[...] = gradient * column
