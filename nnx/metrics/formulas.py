"""The formulas of the metrics, computed in float64 for any array type, and the rows they count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.backends.foreign import refuse_masked
from nnx.errors import DataError
from nnx.losses.base import ROUNDING

HostArray = np.ndarray[Any, Any]
Metric = Callable[..., float]

BLOCK = 1024  # rows that are converted to float64 at once


def accuracy(y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None) -> float:
    """Return the share of rows predicted right, in [0, 1], like scikit-learn's `accuracy_score`.

    The targets decide how they are compared:

    - Integer labels of shape (rows,) or (rows, 1), and predictions of shape (rows, classes): the index of the
      largest prediction is compared with the label.
    - One class in each row (one-hot, smoothed, or shares that sum to 1), of shape (rows, classes): the
      indices of the largest entries are compared.
    - 0 and 1 of shape (rows,) or (rows, 1), and one prediction for each row: a probability above 0.5 means 1.
    - 0 and 1 of shape (rows, labels), where some row has several ones or none: a row is right if all its
      labels are right. `binary_accuracy` counts every label.
    - Labels of shape (rows,) and predicted labels of shape (rows,), not floats: they are equal or not.

    Predictions of shape (rows, …, classes) are compared in the same ways, each position for itself, and the
    share is that of all positions; labels then have the shape (rows, …).

    Parameters
    ----------
    y_true, y_pred : array
    sample_weight : array of shape (rows,), optional

    Raises
    ------
    DataError
        If the targets are none of these (for numbers, use `r2` or `mean_absolute_error`), or if predictions
        that are compared with 0.5 are not probabilities, as they lie outside [0, 1].
    """
    y, p, weights = by_position(*_checked("accuracy", y_true, y_pred, sample_weight))
    if p.dtype.kind == "f" and np.isnan(p).any():
        return math.nan
    labels, predicted = decided("accuracy", y, p)
    return _average((labels == predicted).reshape(len(y), -1).all(axis=1), weights)


def binary_accuracy(y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None) -> float:
    """Return the share of single labels predicted right, in [0, 1]: Keras's metric of that name.

    Parameters
    ----------
    y_true : array of 0 and 1
    y_pred : array of the same shape
        Probabilities; one above 0.5 means 1.
    sample_weight : array of shape (rows,), optional

    Raises
    ------
    DataError
        If the targets are not 0 and 1, or predictions lie outside [0, 1].
    """
    y, p, weights = _checked("binary_accuracy", y_true, y_pred, sample_weight)
    if np.isnan(p).any():
        return math.nan
    p = p.reshape(len(p), -1)
    right = _ones("binary_accuracy", _like(y, p)) == _predicted("binary_accuracy", p)
    return _average(right.mean(axis=1), weights)


def mean_squared_error(y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None) -> float:
    """Return the mean of (p − y)² over all elements; with weights of rows, Σ w (p − y)² / Σ w."""
    y, p, weights = _checked("mean_squared_error", y_true, y_pred, sample_weight, same=True)
    return _mean(lambda y, p: np.square(p - y), y, p, weights)


def mean_absolute_error(
    y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None
) -> float:
    """Return the mean of |p − y| over all elements; with weights of rows, Σ w |p − y| / Σ w."""
    y, p, weights = _checked("mean_absolute_error", y_true, y_pred, sample_weight, same=True)
    return _mean(lambda y, p: np.abs(p - y), y, p, weights)


def binary_cross_entropy(
    y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None
) -> float:
    """Return the mean of −y log p − (1 − y) log(1 − p) over all elements, p clipped to [1e-7, 1 − 1e-7].

    Raises
    ------
    DataError
        If targets or predictions lie outside [0, 1].
    """
    y, p, weights = _checked("binary_cross_entropy", y_true, y_pred, sample_weight, same=True)
    _inside("binary_cross_entropy: targets", y)
    _inside("binary_cross_entropy: predictions", p)

    def formula(y: HostArray, p: HostArray) -> HostArray:
        p = np.clip(p, 1e-7, 1.0 - 1e-7)
        entropy: HostArray = -y * np.log(p) - (1.0 - y) * np.log1p(-p)
        return entropy

    return _mean(formula, y, p, weights)


def r2(y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None) -> float:
    """1 − Σ w (p − y)² / Σ w (y − mean)², with the mean of each column; at most 1.

    It equals scikit-learn's `r2_score` with ``multioutput="variance_weighted"``. For a constant target it is
    1 if the predictions are exact, otherwise 0.

    Raises
    ------
    DataError
        If fewer than two rows have a weight above 0: the spread of one row is 0.
    """
    y, p, weights = _checked("r2", y_true, y_pred, sample_weight, same=True)
    if len(y) < 2:
        raise DataError("r2 compares the error with the spread of the targets, so it needs two rows or more")
    first = y[:1].astype(np.float64)  # subtracted, so that the spread of a constant is exactly 0
    mean = np.zeros_like(first)
    for segment in _segments(y):
        rows = y[segment] - first
        mean += (rows if weights is None else rows * weights[segment].reshape(-1, *[1] * (y.ndim - 1))).sum(
            axis=0
        )
    mean /= len(y) if weights is None else weights.sum()
    spread = _mean(lambda y, _: np.square(y - first - mean), y, p, weights)
    residual = mean_squared_error(y, p, weights)
    return 1.0 - residual / spread if spread else float(residual == 0.0)


def pinball(
    y_true: HostArray,
    y_pred: HostArray,
    sample_weight: HostArray | None = None,
    quantiles: float | Sequence[float] = (0.5,),
) -> float:
    """Return the mean of max(τ (y − p), (1 − τ) (p − y)) over all elements and levels τ.

    For one level, it equals scikit-learn's `mean_pinball_loss`. After a training with `nnx.Pinball`, the name
    ``"pinball"`` means its levels; otherwise the level 0.5, which is half the mean absolute error.

    Parameters
    ----------
    y_true : array of shape (rows, …)
    y_pred : array of the same shape for one level; with more levels of shape (rows, …, levels), or (rows,
        levels) for targets of shape (rows, 1)
    sample_weight : array of shape (rows,), optional
    quantiles : float in (0, 1), or sequence of them

    Raises
    ------
    DataError
        If the shapes do not fit the levels.
    """
    y, p, weights = _checked("pinball", y_true, y_pred, sample_weight)
    levels = np.atleast_1d(np.asarray(quantiles, np.float64))
    p = p.reshape(*p.shape, 1) if len(levels) == 1 and p.shape == y.shape else p
    y = y.reshape(len(y)) if p.ndim == 2 and y.shape == (len(y), 1) else y
    if p.shape != (*y.shape, len(levels)):
        raise DataError(
            f"pinball: y_true of shape {y.shape} and y_pred of shape {p.shape} do not fit: {len(levels)} "
            f"quantiles need predictions of shape {(*y.shape, len(levels))}"
        )

    def formula(y: HostArray, p: HostArray) -> HostArray:
        e = y[..., None] - p
        values: HostArray = np.maximum(levels * e, (levels - 1.0) * e)
        return values

    return _mean(formula, y, p, weights)


# --------------------------------------------------------------------- how they count


def _checked(
    what: str, y_true: Any, y_pred: Any, sample_weight: Any, same: bool = False
) -> tuple[HostArray, HostArray, HostArray | None]:
    """Return the targets, predictions and weights of the rows that count."""
    for name, values in (("y_true", y_true), ("y_pred", y_pred), ("sample_weight", sample_weight)):
        refuse_masked(values, f"{what}: {name}")
    y, p = np.asarray(y_true), np.asarray(y_pred)
    if y.ndim == 0 or p.ndim == 0 or len(y) != len(p) or (same and y.shape != p.shape):
        wanted = "equal shapes" if same else "equally many rows"
        raise DataError(f"{what}: y_true of shape {y.shape} and y_pred of shape {p.shape} must have {wanted}")
    weights = None
    if sample_weight is not None:
        weights = np.asarray(sample_weight, np.float64)
        if weights.shape != (len(y),) or not (np.isfinite(weights) & (weights >= 0.0)).all():
            raise DataError(f"{what}: sample_weight must be {len(y)} finite numbers, none negative")
        if not weights.all():
            counted = weights > 0.0
            y, p, weights = y[counted], p[counted], weights[counted]
    if not len(y) or not p.size:
        raise DataError(f"{what}: no row has a weight above 0, or there are no rows")
    return y, p, weights


def _segments(y: HostArray) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, len(y), BLOCK)]


def _mean(
    formula: Callable[[HostArray, HostArray], HostArray],
    y: HostArray,
    p: HostArray,
    weights: HostArray | None,
) -> float:
    """Return the mean of `formula` over all elements, in float64: over the columns, then over the rows."""
    each = np.empty(len(y))
    for segment in _segments(y):
        values = formula(y[segment].astype(np.float64), p[segment].astype(np.float64))
        each[segment] = values.reshape(len(values), -1).mean(axis=1)
    return _average(each, weights)


def _average(rows: HostArray, weights: HostArray | None) -> float:
    """Σ w r / Σ w."""
    if weights is None:
        return float(np.mean(rows, dtype=np.float64))
    return float(np.sum(rows * weights) / np.sum(weights))


def decided(what: str, y: HostArray, p: HostArray) -> tuple[HostArray, HostArray]:
    """Return targets and predictions as labels of shape (rows,), or as 0 and 1 of shape (rows, labels).

    The targets decide which, see `accuracy`; its errors apply.
    """
    if p.ndim == 1 and p.dtype.kind != "f" and y.size == len(y):
        return y.reshape(len(y)), p
    p = p.reshape(len(p), -1)
    if by_largest(y, p):
        labels = _labels(what, y, p.shape[1]) if y.size == len(y) else np.argmax(y, axis=1)
        return labels, np.argmax(p, axis=1)
    y = _like(y, p)
    ones, predicted = _ones(what, y), _predicted(what, p)
    return (ones, predicted) if p.shape[1] > 1 else (ones.reshape(-1), predicted.reshape(-1))


def by_position(
    y: HostArray, p: HostArray, weights: HostArray | None
) -> tuple[HostArray, HostArray, HostArray | None]:
    """Return targets, predictions and weights with a row for each position of (rows, …, classes)."""
    if p.ndim <= 2:
        return y, p, weights
    columns = y.shape[-1:] if y.ndim == p.ndim else ()
    if y.shape != (*p.shape[:-1], *columns):
        raise DataError(
            f"y_true of shape {y.shape} does not fit y_pred of shape {p.shape}: give equal shapes, or a "
            "label for each position"
        )
    flat = p.reshape(-1, p.shape[-1])
    weights = None if weights is None else np.repeat(weights, len(flat) // len(p))
    return y.reshape(-1, *columns), flat, weights


def by_largest(y: HostArray, p: HostArray) -> bool:
    """Return whether the largest prediction of a row decides: each target names one of several classes."""
    columns = p.size // len(p)
    return columns > 1 and (y.size == len(y) or (y.shape == (len(y), columns) and _one_class(y)))


def _like(y: HostArray, p: HostArray) -> HostArray:
    """Return the targets in the shape of the predictions, (rows, columns)."""
    columns = y.reshape(len(y), -1)
    if columns.shape != p.shape:
        raise DataError(f"y_true of shape {y.shape} and y_pred of shape {p.shape} must have equal shapes")
    return columns


def _labels(what: str, y: HostArray, classes: int) -> HostArray:
    """Return labels as integers."""
    labels = y.reshape(len(y)).astype(np.float64)
    if (labels != np.floor(labels)).any() or labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{what}: targets between {labels.min():g} and {labels.max():g} are not labels of {classes} "
            f"classes: use the integers 0 to {classes - 1}"
        )
    return labels.astype(np.int64)


def _one_class(y: HostArray) -> bool:
    """Return whether each row names one class: the larger of two values occurs once, or shares sum to 1."""
    low, high = y.min(), y.max()
    largest = y == high
    if low < high and ((y == low) | largest).all():
        return bool((largest.sum(axis=1) == 1).all())
    return bool(low >= 0.0 and (np.abs(y.sum(axis=1, dtype=np.float64) - 1.0) < 1e-3).all())


def _ones(what: str, y: HostArray) -> HostArray:
    """Return where targets are 1: they are 0 and 1, or two numbers that sum to 1 (smoothed)."""
    low, high = float(y.min()), float(y.max())
    smoothed = 0.0 < low < 0.5 and abs(low + high - 1.0) < 1e-6
    if not ((y == low) | (y == high)).all() or not ({low, high} <= {0.0, 1.0} or smoothed):
        raise DataError(
            f"{what}: targets between {low:g} and {high:g} are not labels: use 0 and 1, one-hot rows or "
            "integers; for numbers use r2 or mean_absolute_error"
        )
    ones: HostArray = (y > 0.5).astype(np.int64)
    return ones


def _predicted(what: str, p: HostArray) -> HostArray:
    """Return which labels are predicted: those with a probability above 0.5."""
    _inside(f"{what}: predictions", p)
    ones: HostArray = (p > 0.5).astype(np.int64)
    return ones


def _inside(what: str, values: HostArray) -> None:
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1.0 + ROUNDING:
        raise DataError(
            f"{what} between {low:g} and {high:g} are not probabilities in [0, 1]: end the network with "
            "Sigmoid or Softmax, or use a loss with from_logits=True"
        )
