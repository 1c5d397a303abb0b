"""The cross-entropies: of several labels, of one class, and their focal forms."""

from __future__ import annotations

from typing import Any, ClassVar

from nnx.backends import Array, Backend
from nnx.errors import DataError, flag, number
from nnx.losses.base import ROUNDING, Loss, activated
from nnx.records import Case, Counterpart, LossRecord

__all__ = [
    "BinaryCrossEntropy",
    "BinaryFocalCrossEntropy",
    "CategoricalCrossEntropy",
    "CategoricalFocalCrossEntropy",
]


class _CrossEntropy(Loss):
    """Base of the cross-entropies: of probabilities, or of the input of the last activation."""

    kind = ""
    bounded = True

    def __init__(
        self, epsilon: float = 1e-7, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        name = type(self).__name__
        self.epsilon = self.parameter = number(f"{name}: epsilon", epsilon, "(0, 0.5)")
        self.from_logits = flag(f"{name}: from_logits", from_logits)
        self.label_smoothing = number(f"{name}: label_smoothing", label_smoothing, "[0, 1)")
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
        """Return the clipping constant ε, whether predictions are logits, and the smoothing if there is any.

        Checkpoints that older versions wrote hold no smoothing.
        """
        smoothed = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        return {"epsilon": self.epsilon, "from_logits": self.from_logits} | smoothed


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
    label_smoothing : float in [0, 1)
        s: targets y become (1 − s) y + s / 2, so that no probability needs to be 0 or 1. The loss on
        validation data is that of smoothed targets too.
    """

    record = LossRecord(
        names=("binary_cross_entropy",),
        estimators="binary_cross_entropy",
        command="binary_cross_entropy",
        tasks=("autoencoding",),
        cases=(Case(), Case({"label_smoothing": 0.2})),
        keras=Counterpart(
            "BinaryCrossentropy", {"from_logits": "from_logits", "label_smoothing": "label_smoothing"}
        ),
    )
    kind = "binary_cross_entropy"
    classes = 2
    activation = "sigmoid"
    fused: ClassVar[dict[str, str]] = {"sigmoid": "binary_cross_entropy_from_logits"}

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Check that targets are probabilities in [0, 1]."""
        super().check_targets(y, features)
        _check_bounds(y, f"{type(self).__name__}: targets")


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
    label_smoothing : float in [0, 1)
        s: targets y become (1 − s) y + s / classes, so that no probability needs to be 0 or 1. The loss on
        validation data is that of smoothed targets too.

    References
    ----------
    Szegedy et al. (2016), Rethinking the inception architecture, section 7: label smoothing.
    """

    record = LossRecord(
        names=("categorical_cross_entropy", "cross_entropy"),
        command="cross_entropy",
        tasks=("classification",),
        cases=(
            Case(),
            Case(note="on labels", options={"y_true": (2, 0, 3, 1, 2)}),
            Case(note="on labels of positions", options={"y_true": ((2, 0), (3, 1)), "features": (2, 4)}),
            Case({"label_smoothing": 0.2}),
            Case({"label_smoothing": 0.2}, "on labels", {"y_true": (2, 0, 3, 1, 2)}),
        ),
        keras=Counterpart(
            "CategoricalCrossentropy", {"from_logits": "from_logits", "label_smoothing": "label_smoothing"}
        ),
    )
    kind = "categorical_cross_entropy"
    activation = "softmax"
    fused: ClassVar[dict[str, str]] = {"softmax": "categorical_cross_entropy_from_logits"}
    sums_features = True
    by_position = takes_labels = True

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Check that labels are integers in [0, classes), or that dense targets lie in [0, 1]."""
        name = type(self).__name__
        *positions, classes = features if isinstance(features, tuple) else (features,)
        if y.shape[1:] == tuple(positions) or y.ndim == 1:
            if y.shape[1:] != tuple(positions):
                super().check_targets(y, features)
            if y.dtype.kind not in "iu":
                raise DataError(f"{name}: labels must be integers, not {y.dtype}")
            if y.size and (y.min() < 0 or y.max() >= classes):
                raise DataError(
                    f"{name}: labels must lie in [0, {classes - 1}] for {classes} "
                    f"classes, found [{int(y.min())}, {int(y.max())}]"
                )
            return
        super().check_targets(y, features)
        _check_bounds(y, f"{name}: dense targets")


class _Focal(_CrossEntropy):
    """What the two focal cross-entropies share: the constant γ."""

    def __init__(
        self,
        gamma: float = 2.0,
        epsilon: float = 1e-7,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(epsilon, from_logits, label_smoothing)
        self.gamma = number(f"{type(self).__name__}: gamma", gamma, "[0, inf)")
        self.parameter = (self.epsilon, self.gamma)

    def config(self) -> dict[str, Any]:
        """Return the constants γ and ε, whether predictions are logits, and the smoothing if any."""
        return {"gamma": self.gamma} | super().config()


class BinaryFocalCrossEntropy(_Focal, BinaryCrossEntropy):
    """L = mean over all elements of −y (1 − p)^γ log p − (1 − y) p^γ log(1 − p).

    Elements that are already predicted well count less than in `BinaryCrossEntropy`, which is γ = 0. Targets,
    the last layer, clipping and smoothing are as there. The weight α of the paper is a weight of the class:
    use ``class_weight`` or ``sample_weight``.

    Parameters
    ----------
    gamma : float ≥ 0
    epsilon, from_logits, label_smoothing
        As for `BinaryCrossEntropy`.

    References
    ----------
    Lin et al. (2017), Focal loss for dense object detection, eq. 4.
    """

    record = LossRecord(
        names=("binary_focal_cross_entropy", "binary_focal"),
        cases=(Case(), Case({"gamma": 0.5, "label_smoothing": 0.1})),
        keras=Counterpart(
            "BinaryFocalCrossentropy",
            {"gamma": "gamma", "from_logits": "from_logits", "label_smoothing": "label_smoothing"},
        ),
    )
    kind = "binary_focal"
    fused: ClassVar[dict[str, str]] = {"sigmoid": "binary_focal_from_logits"}


class CategoricalFocalCrossEntropy(_Focal, CategoricalCrossEntropy):
    """L = mean over rows of −Σ_j y_j (1 − p_j)^γ log p_j.

    Rows that are already predicted well count less than in `CategoricalCrossEntropy`, which is γ = 0.
    Targets, the last layer and smoothing are as there; probabilities are clipped to [ε, 1 − ε]. The weight α
    of the paper is a weight of the class: use ``class_weight`` or ``sample_weight``.

    Parameters
    ----------
    gamma : float ≥ 0
    epsilon, from_logits, label_smoothing
        As for `CategoricalCrossEntropy`.

    References
    ----------
    Lin et al. (2017), Focal loss for dense object detection, eq. 4.
    """

    record = LossRecord(
        names=("categorical_focal_cross_entropy", "focal"),
        command="focal",
        tasks=("classification",),
        cases=(
            Case(),
            Case({"gamma": 0.5}, "on labels", {"y_true": (2, 0, 3, 1, 2)}),
            Case({"label_smoothing": 0.1}),
        ),
        keras=Counterpart(
            "CategoricalFocalCrossentropy",
            {"gamma": "gamma", "from_logits": "from_logits", "label_smoothing": "label_smoothing"},
            fixed={"alpha": 1.0},
        ),
    )
    kind = "categorical_focal"
    fused: ClassVar[dict[str, str]] = {"softmax": "categorical_focal_from_logits"}


def _check_bounds(y: Any, what: str) -> None:
    """Refuse targets outside [0, 1], beyond what rounding can cause."""
    if y.size and (y.min() < -ROUNDING or y.max() > 1.0 + ROUNDING):
        raise DataError(
            f"{what} must lie in [0, 1], found values from {float(y.min()):.9g} to {float(y.max()):.9g}: "
            "scale them, or choose another loss"
        )
