"""Metrics on host arrays: any function (y_true, y_pred) -> float is one, many of scikit-learn's included.

`fit` and `evaluate` take names (``"accuracy"``), functions, or a mapping of names of yours to either. The
metrics here take weights: a weight of k counts as k equal rows, a weight of 0 as a missing row. A function of
yours takes them if it has a parameter ``sample_weight``. Sums are taken in float64.

With a loss ``from_logits=True`` metrics see probabilities, else what the network gives.
"""

from nnx.metrics.choice import Metrics, get
from nnx.metrics.formulas import (
    NAMES,
    Metric,
    accuracy,
    binary_accuracy,
    binary_cross_entropy,
    mean_absolute_error,
    mean_squared_error,
    r2,
)

__all__ = [
    "NAMES", "Metric", "Metrics", "accuracy", "binary_accuracy", "binary_cross_entropy", "get",
    "mean_absolute_error", "mean_squared_error", "r2",
]  # fmt: skip
