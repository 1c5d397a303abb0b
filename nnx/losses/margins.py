"""Losses of decision values: hinge and squared hinge."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array, Backend
from nnx.errors import DataError
from nnx.losses.base import Loss
from nnx.records import Case, Counterpart, LossRecord

__all__ = ["Hinge", "SquaredHinge"]

ONES = {"y_true": ((1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 1, 0))}
CASES = (
    Case(options=ONES),
    Case(note="on labels", options={"y_true": (2, 0, 3, 1, 2)}),
    Case(note="on labels of positions", options={"y_true": ((2, 0), (3, 1)), "features": (2, 4)}),
)


class Hinge(Loss):
    """L = mean over all elements of max(1 − t z, 0), where t is 1 for a target of 1, else −1.

    z is a decision value: the class is predicted if z > 0, and with several classes, the one with the largest
    z. So the network ends without an activation. The gradient is −t / size where t z < 1, else 0.

    Targets are 0 and 1, or −1 and 1, in the shape of the output; or integer labels of shape (rows,) for an
    output of shape (rows, classes). Each class is then separated from all others. Metrics of classes get
    values in [0, 1] that are above 0.5 where z > 0, but they are no probabilities.

    References
    ----------
    Cortes and Vapnik (1995), Support-vector networks.
    """

    record = LossRecord(
        names=("hinge",),
        estimators="hinge",
        command="hinge",
        tasks=("classification",),
        cases=CASES,
        keras=Counterpart("Hinge"),
    )
    kind = "hinge"
    by_position = takes_labels = True
    decides = True

    def check_targets(self, y: Any, features: int | tuple[int, ...]) -> None:
        """Check that targets are 0 and 1, −1 and 1, or labels in [0, classes)."""
        shape = features if isinstance(features, tuple) else (features,)
        name = type(self).__name__
        low, high = (y.min(), y.max()) if y.size else (0, 0)
        if y.shape[1:] == shape[:-1] and shape[-1] > 1 and y.dtype.kind in "iu":
            if low < 0 or high >= shape[-1]:
                raise DataError(
                    f"{name}: labels must lie in [0, {shape[-1] - 1}] for {shape[-1]} classes, found "
                    f"[{int(low)}, {int(high)}]"
                )
            return
        super().check_targets(y, features)
        between = y.between if hasattr(y, "between") else ((y != low) & (y != high)).any()
        if between or low not in (-1, 0, 1) or high not in (-1, 0, 1) or (low, high) == (-1, 0):
            raise DataError(
                f"{name}: targets must be 0 and 1, or -1 and 1, found values from {float(low):.9g} to "
                f"{float(high):.9g}: choose another loss for numbers and probabilities"
            )

    def predictions(self, backend: Backend, y_pred: Array) -> Array:
        """Return (1 + z / (1 + |z|)) / 2: above 0.5 where z > 0, in the order of z, and in [0, 1]."""
        return 0.5 + 0.5 * (y_pred / (1.0 + backend.xp.abs(y_pred)))


class SquaredHinge(Hinge):
    """L = mean over all elements of max(1 − t z, 0)², with t, z and targets as for `Hinge`.

    The gradient is −2 t max(1 − t z, 0) / size.
    """

    record = LossRecord(
        names=("squared_hinge",),
        estimators="squared_hinge",
        command="squared_hinge",
        tasks=("classification",),
        cases=CASES,
        keras=Counterpart("SquaredHinge"),
    )
    kind = "squared_hinge"
