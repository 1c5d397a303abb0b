"""Losses: value and gradient. The formulas are in `nnx.ops.losses`.

``loss(y_true, y_pred)`` returns a scalar on the device; ``loss.gradient`` returns ∂L/∂y_pred. With sample
weights, the loss is Σ_i w_i ℓ_i / Σ_i w_i. Shapes must be equal: nothing is broadcast.

Rows may have any shape. A loss averages (or sums) over all their elements. `CategoricalCrossEntropy` sums
over the last axis, the classes, and averages over all positions. A sample weight applies to its whole row.
For `Pinball` and `GaussianNLL`, the predictions have one more axis than the targets.
"""

from __future__ import annotations

from typing import Any

from nnx import named
from nnx.errors import ConfigurationError, number
from nnx.losses.base import Loss
from nnx.losses.cross_entropy import (
    BinaryCrossEntropy,
    BinaryFocalCrossEntropy,
    CategoricalCrossEntropy,
    CategoricalFocalCrossEntropy,
)
from nnx.losses.distributions import GaussianNLL, Pinball, Poisson
from nnx.losses.margins import Hinge, SquaredHinge
from nnx.records import Case, Counterpart, LossRecord, by_name

__all__ = [
    "BinaryCrossEntropy",
    "BinaryFocalCrossEntropy",
    "CategoricalCrossEntropy",
    "CategoricalFocalCrossEntropy",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Pinball",
    "Poisson",
    "SquaredHinge",
]


class MeanSquaredError(Loss):
    """L = mean over all elements of (p − y)²; gradient 2 (p − y) / size.

    Parameters
    ----------
    reduction : {"mean", "sum_over_features"}
        "sum_over_features" sums over features and averages over rows: L = (1/m) Σ_i ‖p_i − y_i‖².
    """

    record = LossRecord(
        names=("mean_squared_error", "mse"),
        estimators="squared_error",
        command="mse",
        tasks=("regression", "autoencoding"),
        cases=(Case(), Case({"reduction": "sum_over_features"})),
        keras=Counterpart("MeanSquaredError"),
    )
    kind = "squared_error"
    estimates = True

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum_over_features"):
            raise ConfigurationError(
                f"MeanSquaredError: reduction must be 'mean' or 'sum_over_features', not {reduction!r}"
            )
        self.reduction = reduction
        self.sums_features = reduction == "sum_over_features"

    def config(self) -> dict[str, Any]:
        """Return the reduction."""
        return {"reduction": self.reduction}


class MeanAbsoluteError(Loss):
    """L = mean over all elements of |p − y|; gradient sign(p − y) / size."""

    record = LossRecord(
        names=("mean_absolute_error", "mae"),
        estimators="absolute_error",
        command="mae",
        tasks=("regression", "autoencoding"),
        keras=Counterpart("MeanAbsoluteError"),
    )
    kind = "absolute_error"
    estimates = True


class Huber(Loss):
    """L = mean of e²/2 where |e| ≤ δ, else δ (|e| − δ/2), e = p − y; gradient clip(e, −δ, δ) / size.

    Parameters
    ----------
    delta : float > 0

    References
    ----------
    Huber (1964), Robust estimation of a location parameter.
    """

    record = LossRecord(
        names=("huber",),
        estimators="huber",
        command="huber",
        tasks=("regression", "autoencoding"),
        cases=(Case(note="in its parabola"), Case({"delta": 0.1}, "in its straight parts")),
        keras=Counterpart("Huber", {"delta": "delta"}),
    )
    kind = "huber"
    estimates = True

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = self.parameter = number("Huber: delta", delta, "(0, inf)")

    def config(self) -> dict[str, Any]:
        """Return the constant δ."""
        return {"delta": self.delta}


KINDS: tuple[type[Loss], ...] = (
    CategoricalCrossEntropy, BinaryCrossEntropy, MeanSquaredError, MeanAbsoluteError, Huber,
    Pinball, Poisson, GaussianNLL, Hinge, SquaredHinge, CategoricalFocalCrossEntropy, BinaryFocalCrossEntropy,
)  # fmt: skip
NAMES = by_name(KINDS)


def get(loss: str | dict[str, Any] | Loss, **arguments: Any) -> Loss:
    """Make a loss from its name (a key of `NAMES`) and its arguments.

    ``get("huber", delta=0.5)`` and ``get({"name": "huber", "delta": 0.5})`` do the same. A loss object is
    returned unchanged.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text suggests the nearest), or an argument is invalid.
    """
    made: Loss = named.make("loss", NAMES, loss, arguments, Loss)
    return made
