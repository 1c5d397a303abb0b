"""Losses: value and gradient. The formulas are in `nnx.ops.losses`.

``loss(y_true, y_pred)`` returns a scalar on the device; ``loss.gradient`` returns ∂L/∂y_pred. With sample
weights, the loss is Σ_i w_i ℓ_i / Σ_i w_i. Shapes must be equal: nothing is broadcast.

Rows may have any shape. A loss averages (or sums) over all their elements. `CategoricalCrossEntropy` sums
over the last axis, the classes, and averages over all positions. A sample weight applies to its whole row.
"""

from __future__ import annotations

from typing import Any, ClassVar

from nnx import named
from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, DataError, flag, number
from nnx.losses.base import ROUNDING, Loss, activated
from nnx.records import Case, Counterpart, LossRecord, by_name

__all__ = [
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
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


class _CrossEntropy(Loss):
    kind = ""
    bounded = True

    def __init__(self, epsilon: float = 1e-7, from_logits: bool = False) -> None:
        self.epsilon = self.parameter = number(f"{type(self).__name__}: epsilon", epsilon, "(0, 0.5)")
        self.from_logits = flag(f"{type(self).__name__}: from_logits", from_logits)
        if self.from_logits:
            self.kind = self.fused[self.activation]  # type: ignore[misc]
            self.fused = {}  # type: ignore[misc]

    @property
    def takes_probabilities(self) -> bool:
        """Return whether predictions are probabilities: not with logits, or with a subclass's own formula."""
        return not self.from_logits and type(self).formula is Loss.formula

    def check_predictions(self, backend: Backend, p: Array) -> None:
        """Check that probabilities lie in [0, 1], except for rounding."""
        if not self.takes_probabilities or not p.size:
            return
        low, high = float(backend.xp.min(p)), float(backend.xp.max(p))
        if low < -ROUNDING or high > 1.0 + ROUNDING:
            raise DataError(
                f"{type(self).__name__} needs probabilities in [0, 1], but predictions lie in [{low:g}, "
                f"{high:g}]: end the network with nnx.{self.activation.title()}(), or use from_logits=True"
            )

    def predictions(self, backend: Backend, y_pred: Array) -> Array:
        """Return probabilities, computed from logits if the loss takes logits."""
        if not self.from_logits:
            return y_pred
        return activated(backend, self.activation, y_pred)

    def config(self) -> dict[str, Any]:
        """Return the clipping constant ε, and whether predictions are logits."""
        return {"epsilon": self.epsilon, "from_logits": self.from_logits}


class BinaryCrossEntropy(_CrossEntropy):
    """L = mean over all elements of −y log p − (1 − y) log(1 − p); gradient (p − y) / (p (1 − p)) / size.

    Targets lie in [0, 1]; end the network with `Sigmoid`. `fit` and `evaluate` then compute the sigmoid and
    this loss together, from the sigmoid's input z: softplus(z) − y z, with gradient (σ(z) − y) / size. This
    is exact even if p rounds to 0 or 1. A call ``loss(y, p)`` with probabilities clips them, and returns at
    most −log ε = 16.1.

    Parameters
    ----------
    epsilon : float in (0, 0.5)
        Probabilities p are clipped to [ε, 1 − ε].
    from_logits : bool
        True if the network has no final activation and returns z. The loss is the same, without clipping.
        Metrics then use σ(z); `predict` returns z.
    """

    record = LossRecord(
        names=("binary_cross_entropy",),
        estimators="binary_cross_entropy",
        command="binary_cross_entropy",
        tasks=("autoencoding",),
        keras=Counterpart("BinaryCrossentropy", {"from_logits": "from_logits"}),
    )
    kind = "binary_cross_entropy"
    activation = "sigmoid"
    fused: ClassVar[dict[str, str]] = {"sigmoid": "binary_cross_entropy_from_logits"}

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Check that targets are probabilities in [0, 1]."""
        super().check_targets(y, features)
        _check_bounds(y, "BinaryCrossEntropy: targets")


class CategoricalCrossEntropy(_CrossEntropy):
    """L = mean over rows of −Σ_j y_j log p_j; gradient −y / p / rows.

    Targets are dense, of shape (rows, classes), or integer labels of shape (rows,). On an output of shape
    (rows, …, classes) the sum is over the classes and the mean over all positions of all rows, as in PyTorch
    and Keras; labels then have the shape (rows, …).

    If the network ends with `Softmax`, `fit` and `evaluate` compute the softmax and this loss together, from
    the softmax's input z, with gradient (softmax(z) Σ_j y_j − y) / rows. This is exact even if p rounds to 0.
    A call ``loss(y, p)`` with probabilities clips them, and returns at most −log ε = 16.1.

    Parameters
    ----------
    epsilon : float in (0, 0.5)
        Probabilities p are clipped to [ε, 1].
    from_logits : bool
        True if the network has no final activation and returns z. The loss is the same, without clipping.
        Metrics then use softmax(z); `predict` returns z.
    """

    record = LossRecord(
        names=("categorical_cross_entropy", "cross_entropy"),
        command="cross_entropy",
        tasks=("classification",),
        cases=(
            Case(),
            Case(note="on labels", options={"y_true": (2, 0, 3, 1, 2)}),
            Case(note="on labels of positions", options={"y_true": ((2, 0), (3, 1)), "features": (2, 4)}),
        ),
        keras=Counterpart("CategoricalCrossentropy", {"from_logits": "from_logits"}),
    )
    kind = "categorical_cross_entropy"
    activation = "softmax"
    fused: ClassVar[dict[str, str]] = {"softmax": "categorical_cross_entropy_from_logits"}
    sums_features = True
    by_position = takes_labels = True

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Check that labels are integers in [0, classes), or that dense targets lie in [0, 1]."""
        *positions, classes = features if isinstance(features, tuple) else (features,)
        if y.shape[1:] == tuple(positions) or y.ndim == 1:
            if y.shape[1:] != tuple(positions):
                super().check_targets(y, features)
            if y.dtype.kind not in "iu":
                raise DataError(f"CategoricalCrossEntropy: labels must be integers, not {y.dtype}")
            if y.size and (y.min() < 0 or y.max() >= classes):
                raise DataError(
                    f"CategoricalCrossEntropy: labels must lie in [0, {classes - 1}] for {classes} "
                    f"classes, found [{int(y.min())}, {int(y.max())}]"
                )
            return
        super().check_targets(y, features)
        _check_bounds(y, "CategoricalCrossEntropy: dense targets")


def _check_bounds(y: Any, what: str) -> None:
    """Refuse targets outside [0, 1], beyond what rounding can cause."""
    if y.size and (y.min() < -ROUNDING or y.max() > 1.0 + ROUNDING):
        raise DataError(
            f"{what} must lie in [0, 1], found values from {float(y.min()):.9g} to {float(y.max()):.9g}: "
            "scale them, or choose another loss"
        )


KINDS: tuple[type[Loss], ...] = (
    CategoricalCrossEntropy, BinaryCrossEntropy, MeanSquaredError, MeanAbsoluteError, Huber,
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
