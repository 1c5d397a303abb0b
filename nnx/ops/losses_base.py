"""What the losses share: their record, and labels as rows of zeros with a one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnx.ops.base import Array, InPlace, Operations


@dataclass(frozen=True)
class RowLoss:
    """The loss of each row, and its gradient with respect to the predictions.

    Attributes
    ----------
    plain : callable
        ``plain(ops, y, p, parameter)`` returns the loss of each row, and the gradient.
    in_place : callable or None
        ``in_place(ops, y, p, dy, factor)`` returns Σ ℓ and writes dy = factor ∂ℓ/∂p, on NumPy.
    one_target : bool
        Whether a row has one target and several predictions: y then has shape (rows,), and p (rows, columns).
    cuda_value, cuda_gradient : str
        Code for one element of the loss and of its gradient, from the target ``y``, the prediction ``p``, its
        column ``j``, the row's predictions from ``prediction[start]``, the constant ``a`` (of several, the
        first) and all constants ``more``.
    cuda_functions : str
        Functions that this code calls.
    cuda_row : str
        Code for the loss ``sum`` of a whole row, of which each thread adds its part, and for its gradient
        ``dy``; for a loss that is not a sum of independent elements. See `losses_cuda.ROW_LOSS_SOURCE`.
    """

    plain: Callable[[Operations, Array, Array, Any], tuple[Array, Array]]
    in_place: Callable[[InPlace, Array, Array, Array, float], float] | None = None
    one_target: bool = False
    cuda_value: str = ""
    cuda_gradient: str = ""
    cuda_functions: str = ""
    cuda_row: str = ""


def one_hot(ops: Operations, y: Array, like: Array) -> Array:
    """Return integer labels (rows,) as rows of zeros with a one; dense targets are returned unchanged."""
    if y.ndim == like.ndim:
        return y
    return (y[:, None] == ops.xp.arange(like.shape[1])).astype(like.dtype)
