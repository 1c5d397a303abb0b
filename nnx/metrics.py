"""Metrics on host arrays: any callable (y_true, y_pred) -> float serves, scikit-learn's included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, DataError, nearest

HostArray = np.ndarray[Any, Any]
Metric = Callable[[HostArray, HostArray], float]


def accuracy(y_true: HostArray, y_pred: HostArray) -> float:
    """The share of rows predicted right, in [0, 1].

    Parameters
    ----------
    y_true : array of shape (rows,), (rows, 1) or (rows, classes)
        Labels, or dense targets whose largest entry is the label.
    y_pred : array of shape (rows, 1) or (rows, classes)
        One column is the probability of label 1, compared with 0.5; several are compared by their largest.
    """
    labels = y_true if y_true.ndim == 1 else _decide(y_true)
    if len(labels) != len(y_pred):
        raise DataError(f"y_true of shape {y_true.shape} and y_pred of shape {y_pred.shape} must agree")
    return float(np.mean(labels == _decide(y_pred)))


def mean_squared_error(y_true: HostArray, y_pred: HostArray) -> float:
    """The mean of (p − y)² over all elements."""
    return float(np.mean(np.square(_error(y_true, y_pred)), dtype=np.float64))


def mean_absolute_error(y_true: HostArray, y_pred: HostArray) -> float:
    """The mean of |p − y| over all elements."""
    return float(np.mean(np.abs(_error(y_true, y_pred)), dtype=np.float64))


def binary_cross_entropy(y_true: HostArray, y_pred: HostArray) -> float:
    """The mean of −y log p − (1 − y) log(1 − p) over all elements, p clipped to [1e-7, 1 − 1e-7]."""
    p = np.clip(_same(y_true, y_pred).astype(np.float64), 1e-7, 1.0 - 1e-7)
    return float(-np.mean(y_true * np.log(p) + (1.0 - y_true) * np.log1p(-p)))


def r2(y_true: HostArray, y_pred: HostArray) -> float:
    """1 − Σ (p − y)² / Σ (y − mean)², the mean taken for each column; at most 1."""
    residual = float(np.sum(np.square(_error(y_true, y_pred)), dtype=np.float64))
    y = np.asarray(y_true, np.float64)
    y = y - y[:1]  # so that the spread of a constant is 0, whatever rounding makes of its mean
    spread = float(np.sum(np.square(y - y.mean(axis=0))))
    return 1.0 - residual / spread if spread else float(residual == 0.0)


NAMES: dict[str, Metric] = {
    "accuracy": accuracy,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
    "binary_cross_entropy": binary_cross_entropy,
    "r2": r2,
}


def get(metric: str | Metric) -> tuple[str, Metric]:
    """(name, metric) from a name (a key of `NAMES`) or a callable.

    Raises
    ------
    ConfigurationError
        If the name is unknown; the text names the nearest.
    """
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    if metric not in NAMES:
        raise ConfigurationError(f"unknown metric {metric!r}{nearest(str(metric), NAMES)}")
    return metric, NAMES[metric]


def _decide(y: HostArray) -> HostArray:
    if y.ndim == 1 or y.shape[1] == 1:
        return (y.reshape(len(y)) >= 0.5).astype(np.int64)
    largest: HostArray = np.argmax(y, axis=1)
    return largest


def _same(y_true: HostArray, y_pred: HostArray) -> HostArray:
    if y_true.shape != y_pred.shape:
        raise DataError(f"y_true of shape {y_true.shape} and y_pred of shape {y_pred.shape} must agree")
    return y_pred


def _error(y_true: HostArray, y_pred: HostArray) -> HostArray:
    """p − y as floats, so that unsigned integers do not wrap."""
    difference: HostArray = np.subtract(
        _same(y_true, y_pred), y_true, dtype=np.result_type(y_pred, y_true, np.float32)
    )
    return difference
