"""The metrics by name, and what is known of each."""

from __future__ import annotations

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

NAMES: dict[str, Metric] = {
    "accuracy": accuracy,
    "binary_accuracy": binary_accuracy,
    "subset_accuracy": subset_accuracy,
    "f1": f1,
    "f1_macro": f1_macro,
    "f1_micro": f1_micro,
    "f1_weighted": f1_weighted,
    "roc_auc": roc_auc,
    "roc_auc_ovr": roc_auc_ovr,
    "log_loss": log_loss,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
    "pinball": pinball,
    "r2": r2,
}
OF_LARGEST = (accuracy, f1, f1_macro, f1_micro, f1_weighted)  # they may take the largest prediction of a row
# larger is better; for the others, smaller
RISING = (*OF_LARGEST, binary_accuracy, subset_accuracy, roc_auc, roc_auc_ovr, r2)
OF_PROBABILITIES = (*OF_LARGEST, binary_accuracy, subset_accuracy, binary_cross_entropy, log_loss)
OF_LIKELIHOOD = (binary_cross_entropy, log_loss)  # not for decision values, which only have an order
