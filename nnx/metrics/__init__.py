"""Compute metrics on host arrays. Any function (y_true, y_pred) -> float is a metric, also scikit-learn's.

`fit` and `evaluate` take names (``"accuracy"``), functions, or a mapping from names of yours to either. The
metrics here take weights: a weight of k counts as k equal rows, a weight of 0 as a missing row. Your own
function gets the weights if it has a parameter ``sample_weight``. Sums are computed in float64.

With a loss that has ``from_logits=True``, metrics get probabilities; otherwise the output of the network.
"""

from nnx.metrics.choice import Metrics, get
from nnx.metrics.classes import (
    f1,
    f1_macro,
    f1_micro,
    f1_weighted,
    log_loss,
    roc_auc,
    roc_auc_ovr,
    subset_accuracy,
)
from nnx.metrics.formulas import (
    Metric,
    accuracy,
    binary_accuracy,
    binary_cross_entropy,
    mean_absolute_error,
    mean_squared_error,
    pinball,
    r2,
)
from nnx.metrics.names import NAMES

__all__ = [
    "NAMES", "Metric", "Metrics", "accuracy", "binary_accuracy", "binary_cross_entropy", "f1", "f1_macro",
    "f1_micro", "f1_weighted", "get", "log_loss", "mean_absolute_error", "mean_squared_error", "pinball",
    "r2", "roc_auc", "roc_auc_ovr", "subset_accuracy",
]  # fmt: skip
