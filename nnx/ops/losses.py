"""The losses: one record describes each of them completely.

The plain form of a record takes ``(ops, y, p, parameter)``, where y and p have shape (rows, features). It
returns ``(Σ_j ℓ_ij, ∂ℓ_ij/∂p_ij)`` of shapes (rows,) and (rows, features). `Losses.average` averages over
features, rows and sample weights, for all losses. If a record has no form in place or no CUDA text, the plain
form is used. `LOSSES` contains the records by kind; a loss in `nnx.losses` names its kind. The kinds that end
in ``_from_logits`` take the *input* of a final sigmoid or softmax and return the combined gradient, which
neither overflows nor loses digits.
"""

from __future__ import annotations

import math

import numpy as np

from nnx.ops import losses_classes as classes
from nnx.ops import losses_distributions as distributions
from nnx.ops.activations import positive_in_place, sigmoid, sigmoid_in_place
from nnx.ops.base import Array, InPlace, Operations
from nnx.ops.losses_base import RowLoss, one_hot
from nnx.ops.sums import sum_of_squares


def _squared_error(ops: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = (p − y)², gradient 2 (p − y)."""
    e = p - y
    return ops.xp.sum(e * e, axis=1), 2.0 * e


def _squared_error_in_place(ops: InPlace, y: Array, p: Array, dy: Array, factor: float) -> float:
    np.subtract(p, y, out=dy)
    total = sum_of_squares(dy.reshape(-1))
    dy *= 2.0 * factor
    return total


SQUARED_ERROR = RowLoss(
    _squared_error,
    _squared_error_in_place,
    cuda_value="(p - y) * (p - y)",
    cuda_gradient="T(2) * (p - y)",
)


def _absolute_error(ops: Operations, y: Array, p: Array, parameter: float) -> tuple[Array, Array]:
    """ℓ = |p − y|, gradient sign(p − y), which is 0 where p = y."""
    xp = ops.xp
    e = p - y
    return xp.sum(xp.abs(e), axis=1), xp.sign(e)


ABSOLUTE_ERROR = RowLoss(_absolute_error, cuda_value="fabs(p - y)", cuda_gradient="nnx_sign(p - y)")


def _huber(ops: Operations, y: Array, p: Array, delta: float) -> tuple[Array, Array]:
    """ℓ = e²/2 where |e| ≤ δ, else δ (|e| − δ/2); the gradient is e clipped to ±δ."""
    xp = ops.xp
    e = p - y
    clipped = xp.clip(e, -delta, delta)
    return xp.sum(clipped * (e - 0.5 * clipped), axis=1), clipped


HUBER = RowLoss(
    _huber,
    cuda_value="nnx_clip(p - y, -a, a) * (p - y - T(0.5) * nnx_clip(p - y, -a, a))",
    cuda_gradient="nnx_clip(p - y, -a, a)",
)


def _binary_cross_entropy(ops: Operations, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = −y log p − (1 − y) log(1 − p), gradient (p − y) / (p (1 − p)); p is clipped to [ε, 1 − ε]."""
    xp = ops.xp
    p = xp.clip(p, epsilon, 1.0 - epsilon)
    values = -(y * xp.log(p) + (1.0 - y) * xp.log1p(-p))
    return xp.sum(values, axis=1), (p - y) / (p * (1.0 - p))


BINARY_CROSS_ENTROPY = RowLoss(
    _binary_cross_entropy,
    cuda_value="-(y * log(nnx_clip(p, a, T(1) - a)) + (T(1) - y) * log1p(-nnx_clip(p, a, T(1) - a)))",
    cuda_gradient="(nnx_clip(p, a, T(1) - a) - y)"
    " / (nnx_clip(p, a, T(1) - a) * (T(1) - nnx_clip(p, a, T(1) - a)))",
)


def _binary_cross_entropy_from_logits(
    ops: Operations, y: Array, z: Array, parameter: float
) -> tuple[Array, Array]:
    """ℓ = softplus(z) − y z = (max(z, 0) − y z) + log(1 + e^−|z|), gradient σ(z) − y.

    In this order, no large numbers cancel if y is 0 or 1: if ℓ is small, both terms are small.
    """
    xp = ops.xp
    values = (xp.maximum(z, 0.0) - y * z) + xp.log1p(xp.exp(-xp.abs(z)))
    return xp.sum(values, axis=1), sigmoid(ops, z) - y


def _binary_cross_entropy_from_logits_in_place(
    ops: InPlace, y: Array, z: Array, dy: Array, factor: float
) -> float:
    """Σ (max(z, 0) − y z) + log(1 + e^−|z|), as one sum: separate sums of large terms would cancel."""
    e = np.abs(z, out=ops._scratch(z.shape, z.dtype))
    np.log1p(np.exp(np.negative(e, out=e), out=e), out=e)
    positive_in_place(ops, z, dy)
    dy -= np.multiply(y, z, out=ops._scratch(z.shape, z.dtype, 1))
    dy += e
    total = _sum(dy)
    sigmoid_in_place(z, dy)
    dy -= y
    dy *= factor
    return total


BINARY_CROSS_ENTROPY_FROM_LOGITS = RowLoss(
    _binary_cross_entropy_from_logits,
    _binary_cross_entropy_from_logits_in_place,
    cuda_value="(p < T(0) ? T(0) : p) - y * p + log1p(exp(-fabs(p)))",
    cuda_gradient="nnx_sigmoid(p) - y",
)


def _categorical_cross_entropy(ops: Operations, y: Array, p: Array, epsilon: float) -> tuple[Array, Array]:
    """ℓ = −Σ_j y_j log p_j, gradient −y / p; p is clipped to [ε, 1]."""
    xp = ops.xp
    y = one_hot(ops, y, p)
    p = xp.clip(p, epsilon, 1.0)
    return -xp.sum(y * xp.log(p), axis=1), -y / p


CATEGORICAL_CROSS_ENTROPY = RowLoss(
    _categorical_cross_entropy,
    cuda_value="-y * log(nnx_clip(p, a, T(1)))",
    cuda_gradient="-y / nnx_clip(p, a, T(1))",
)


def _categorical_cross_entropy_from_logits(
    ops: Operations, y: Array, z: Array, parameter: float
) -> tuple[Array, Array]:
    """ℓ = Σ_j y_j (log Σ_k e^z_k − z_j), gradient softmax(z) Σ_j y_j − y."""
    xp = ops.xp
    y = one_hot(ops, y, z)
    z = z - xp.max(z, axis=1, keepdims=True)
    e = xp.exp(z)
    total = xp.sum(e, axis=1, keepdims=True)
    mass = xp.sum(y, axis=1, keepdims=True)
    values = xp.where(y != 0.0, y * (xp.log(total) - z), 0.0)  # 0 if z is −∞, because 0 · ∞ is NaN
    return xp.sum(values, axis=1), e / total * mass - y


def _categorical_cross_entropy_from_logits_in_place(
    ops: InPlace, y: Array, z: Array, dy: Array, factor: float
) -> float:
    np.subtract(z, np.max(z, axis=1, keepdims=True), out=dy)
    scratch = np.multiply(y, dy, out=ops._scratch(z.shape, z.dtype))
    picked = _sum(scratch)
    if not math.isfinite(picked):  # where y_j = 0, a difference that overflowed does not count
        picked = _sum(np.where(y != 0.0, scratch, 0.0))
    np.exp(dy, out=dy)
    total, mass = np.sum(dy, axis=1, keepdims=True), np.sum(y, axis=1, keepdims=True)
    value = _sum(mass * np.log(total)) - picked
    dy *= mass / total
    dy -= y
    dy *= factor
    return value


CATEGORICAL_CROSS_ENTROPY_FROM_LOGITS = RowLoss(
    _categorical_cross_entropy_from_logits,
    _categorical_cross_entropy_from_logits_in_place,
    cuda_row="""
        nnx_row z(prediction + start, columns);
        NNX_TARGETS
        T top = prediction[start];
        NNX_PARTS(part) {
            const nnx_four& four = z[part];
            NNX_EACH(k, j, part) top = four.at[k] > top ? four.at[k] : top;
        }
        top = nnx_block_max(top, shared);
        T total = T(0), mass = T(0);
        NNX_PARTS(part) {
            const nnx_four& four = z[part];
            NNX_OF_PART(part)
            NNX_EACH(k, j, part) {
                total += exp(four.at[k] - top);
                mass += NNX_Y(k, j);
            }
        }
        total = nnx_block_sum(total, shared);
        mass = nnx_block_sum(mass, shared);
        NNX_PARTS(part) {
            nnx_four four = z[part];
            NNX_OF_PART(part)
            NNX_EACH(k, j, part) {
                const T shifted = four.at[k] - top, y = NNX_Y(k, j);
                if (y != T(0)) sum += y * (log(total) - shifted);  // 0 times an infinite shift is NaN
                four.at[k] = factor * (exp(shifted) / total * mass - y);
            }
            if (wanted) nnx_write(dy + start, columns, part, four);
        }
""",
)


def _sum(x: Array) -> float:
    """Σ x in x's own type, in which NumPy adds pairwise; another type would be converted through a buffer."""
    return float(np.add.reduce(x, axis=None))


LOSSES = {
    "squared_error": SQUARED_ERROR,
    "absolute_error": ABSOLUTE_ERROR,
    "huber": HUBER,
    "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "binary_cross_entropy_from_logits": BINARY_CROSS_ENTROPY_FROM_LOGITS,
    "categorical_cross_entropy": CATEGORICAL_CROSS_ENTROPY,
    "categorical_cross_entropy_from_logits": CATEGORICAL_CROSS_ENTROPY_FROM_LOGITS,
    "pinball": distributions.PINBALL,
    "poisson": distributions.POISSON,
    "poisson_from_log": distributions.POISSON_FROM_LOG,
    "gaussian": distributions.GAUSSIAN,
    "hinge": classes.HINGE,
    "squared_hinge": classes.SQUARED_HINGE,
    "binary_focal": classes.BINARY_FOCAL,
    "binary_focal_from_logits": classes.BINARY_FOCAL_FROM_LOGITS,
    "categorical_focal": classes.CATEGORICAL_FOCAL,
    "categorical_focal_from_logits": classes.CATEGORICAL_FOCAL_FROM_LOGITS,
}


Constants = float | tuple[float, ...]


class Losses(Operations):
    """The losses in the plain form."""

    def loss(
        self, kind: str, y_true: Array, y_pred: Array, value: Array | None, dy: Array | None,
        scale: float = 1.0, parameter: Constants = 0.0, weights: Array | None = None,
    ) -> None:  # fmt: skip
        """value = scale Σ_i w_i Σ_j ℓ_ij / Σ_i w_i, and dy = its gradient with respect to y_pred.

        Parameters
        ----------
        kind : str
            A key of `LOSSES`.
        value : array of shape (1,), or None
        dy : array like y_pred, or None
        scale : float
            1 / features for a mean over features, 1 for a sum.
        parameter : float or tuple of float
            The constants of the loss: δ of Huber, ε for clipping in a cross-entropy, the levels of pinball.
        weights : array of shape (rows,), or None for equal weights
        """
        row_losses, gradient = LOSSES[kind].plain(self, y_true, y_pred, parameter)
        self.average(row_losses, gradient, value, dy, scale, weights)

    def average(
        self, row_losses: Array, gradient: Array, value: Array | None, dy: Array | None,
        scale: float, weights: Array | None,
    ) -> None:  # fmt: skip
        """Compute the weighted mean and its gradient from the rows' losses and gradients; part of `loss`."""
        xp = self.xp
        if weights is None:
            row_weights = scale / row_losses.shape[0]
            column = row_weights
        else:
            # Only ratios of weights matter: scale them by a power of two, which is exact, so that their sum
            # does not overflow.
            weights = xp.ldexp(weights, -xp.frexp(xp.max(weights))[1])
            total = xp.sum(weights)  # 0 if all rows of a batch have weight 0
            row_weights = weights * (scale / xp.where(total > 0, total, 1.0))
            column = row_weights[:, None]
        if value is not None:
            value[...] = xp.sum(row_losses * row_weights)
        if dy is not None:
            dy[...] = gradient * column

    def repeat_weights(self, weights: Array, times: int) -> Array:
        """Return each weight `times` times in a row, in memory that is valid until the next call."""
        return self.xp.repeat(weights, times)

    def row_shares(self, shares: Array, weights: Array | None) -> Array:
        """Write each row's share of a mean, of shape (rows, 1): 1 / rows, or w / Σ w for weights w ≥ 0."""
        if weights is None:
            shares[...] = 1.0 / shares.shape[0]
            return shares
        xp, weights = self.xp, weights.reshape(shares.shape)
        weights = xp.ldexp(weights, -xp.frexp(xp.max(weights))[1])  # see `average`
        total = xp.sum(weights, axis=0, keepdims=True)  # 0 if all rows of a rank have weight 0
        xp.divide(weights, xp.where(total > 0, total, 1.0), out=shares)
        return shares

    def smooth_targets(self, y_true: Array, like: Array, kept: float, share: float) -> Array:
        """Return y · kept + share, the targets of label smoothing; labels as rows with a one.

        Parameters
        ----------
        y_true : array of shape (rows, classes), or integer labels of shape (rows,)
        like : array of shape (rows, classes)
            The predictions, for shape and type.

        Returns
        -------
        array like `like`
            Memory of the backend, valid until its next call.
        """
        return one_hot(self, y_true, like) * kept + share


SMOOTHED = 2  # the slot of scratch memory that no form in place uses


class LossesNumPy(InPlace, Losses):
    """The losses in place, if a record has such a form."""

    def smooth_targets(self, y_true: Array, like: Array, kept: float, share: float) -> Array:
        """Compute in scratch memory."""
        smoothed = self._scratch(like.shape, like.dtype, SMOOTHED)
        if y_true.ndim == like.ndim:
            np.multiply(y_true, kept, out=smoothed)
            smoothed += share
        else:
            smoothed.fill(share)
            smoothed[np.arange(len(like)), y_true] = kept + share
        return smoothed

    def loss(
        self, kind: str, y_true: Array, y_pred: Array, value: Array | None, dy: Array | None,
        scale: float = 1.0, parameter: Constants = 0.0, weights: Array | None = None,
    ) -> None:  # fmt: skip
        """Compute in place if rows have equal weights and `dy` is given, else in the plain form."""
        in_place = LOSSES[kind].in_place if dy is not None and weights is None and dy is not y_pred else None
        if in_place is None or y_true.ndim != y_pred.ndim:
            super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)
            return
        factor = scale / y_pred.shape[0]
        total = in_place(self, y_true, y_pred, dy, factor)
        if value is not None:
            value[0] = total * factor
