"""Metrics of classes and of several labels: F1, area under the ROC curve, log loss, subset accuracy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnx.errors import DataError
from nnx.metrics.formulas import HostArray, _average, _checked, _inside, by_position, decided


def subset_accuracy(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the share of rows whose labels are all predicted right, for rows that can have several labels.

    Parameters
    ----------
    y_true : array of 0 and 1, of shape (rows, labels)
    y_pred : array of shape (rows, labels)
        Probabilities; one above 0.5 means 1.
    sample_weight : array of shape (rows,), optional

    Raises
    ------
    DataError
        If targets are not of this form (for one class in each row, use `accuracy`), or predictions are not
        probabilities.
    """
    y, p, weights = _checked("subset_accuracy", y_true, y_pred, sample_weight, same=True)
    if y.ndim != 2 or y.shape[1] < 2 or not np.isin(y, (0, 1)).all():
        raise DataError(
            f"subset_accuracy needs targets of 0 and 1 of shape (rows, labels), not {y.dtype} of {y.shape}: "
            "for one class in each row use accuracy"
        )
    if np.isnan(p).any():
        return math.nan
    _inside("subset_accuracy: predictions", p)
    return _average(((p > 0.5) == y).all(axis=1), weights)


def f1(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the F1 score of the second of two classes, like scikit-learn's `f1_score`.

    It is 2 TP / (2 TP + FP + FN), and 0 if no row has the class or is predicted to have it. Targets and
    predictions are as for `accuracy`.

    Raises
    ------
    DataError
        If there are more than two classes or several labels: then use `f1_macro`, `f1_micro` or
        `f1_weighted`.
    """
    counts = _counts("f1", y_true, y_pred, sample_weight)
    if counts is None:
        return math.nan
    if len(counts) != 2 or counts.several:
        raise DataError(
            f"f1 is for two classes, but there are {len(counts)} {'labels' if counts.several else 'classes'}:"
            " use f1_macro, f1_micro or f1_weighted"
        )
    return float(counts.scores()[1])


def f1_macro(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the mean of the F1 scores of all labels, or of all classes that are true or predicted somewhere.

    It equals scikit-learn's ``f1_score(average="macro")``. Targets and predictions are as for `accuracy`.
    """
    counts = _counts("f1_macro", y_true, y_pred, sample_weight)
    return math.nan if counts is None else float(counts.scores()[counts.there()].mean())


def f1_micro(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the F1 score of all labels or classes counted together.

    It equals scikit-learn's ``f1_score(average="micro")``, for classes also the accuracy. Targets and
    predictions are as for `accuracy`.
    """
    counts = _counts("f1_micro", y_true, y_pred, sample_weight)
    return math.nan if counts is None else float(counts.together().scores()[0])


def f1_weighted(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the mean of the F1 scores, weighted by the rows that each class or label has.

    It equals scikit-learn's ``f1_score(average="weighted")``. Targets and predictions are as for `accuracy`.
    """
    counts = _counts("f1_weighted", y_true, y_pred, sample_weight)
    if counts is None:
        return math.nan
    rows = counts.right + counts.missed
    return float(np.average(counts.scores(), weights=rows)) if rows.any() else 0.0


def roc_auc(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the area under the ROC curve of two classes, or its mean over several labels.

    It equals scikit-learn's `roc_auc_score`. Predictions need no scale: only their order counts.

    Parameters
    ----------
    y_true : array of 0 and 1, of shape (rows,), (rows, 1) or (rows, labels); or labels of two classes
    y_pred : array of shape (rows,), (rows, 1), (rows, labels), or (rows, 2) for two classes
    sample_weight : array of shape (rows,), optional

    Raises
    ------
    DataError
        If there are more than two classes in each row (use `roc_auc_ovr`), or if all rows have the same
        class.
    """
    y, p, weights = by_position(*_checked("roc_auc", y_true, y_pred, sample_weight))
    p = p.reshape(len(p), -1)
    if np.isnan(p).any():
        return math.nan
    classes = p.shape[1] if y.size == len(y) or _one_hot(y) else 0
    if classes > 2:
        raise DataError(f"roc_auc is for two classes, but there are {classes}: use roc_auc_ovr")
    y = _zeros_and_ones("roc_auc", y)
    if classes == 2:
        y, p = (y if y.size == len(y) else y[:, 1]), p[:, 1:]
    return _areas("roc_auc", y.reshape(len(y), -1), p, weights, "column")


def roc_auc_ovr(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the mean over all classes of the area under the ROC curve of the class against all others.

    It equals scikit-learn's ``roc_auc_score(multi_class="ovr")``.

    Parameters
    ----------
    y_true : array of labels of shape (rows,) or (rows, 1), or one-hot rows of shape (rows, classes)
    y_pred : array of shape (rows, classes)
    sample_weight : array of shape (rows,), optional

    Raises
    ------
    DataError
        If targets do not name one class in each row, or if a class has no row.
    """
    y, p, weights = by_position(*_checked("roc_auc_ovr", y_true, y_pred, sample_weight))
    labels = _classes_of("roc_auc_ovr", y, p)
    return _areas("roc_auc_ovr", labels[:, None] == np.arange(p.shape[1]), p, weights, "class")


def log_loss(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Return the mean over all rows of −log of the probability of the row's class.

    It equals scikit-learn's `log_loss`, in float64: probabilities are at least 2.2e-16.

    Parameters
    ----------
    y_true : array
        Labels of shape (rows,) or (rows, 1), one-hot rows, or 0 and 1 for one probability in each row.
    y_pred : array of probabilities
        Of shape (rows, classes), or (rows, 1) or (rows,) for the second of two classes.
    sample_weight : array of shape (rows,), optional

    Raises
    ------
    DataError
        If targets do not name one class in each row (for several labels use `binary_cross_entropy`), or if
        predictions are not probabilities that sum to 1.
    """
    y, p, weights = by_position(*_checked("log_loss", y_true, y_pred, sample_weight))
    p = p.reshape(len(p), -1).astype(np.float64)
    if np.isnan(p).any():
        return math.nan
    _inside("log_loss: predictions", p)
    if p.shape[1] == 1:
        p = np.concatenate([1.0 - p, p], axis=1)
    labels = _classes_of("log_loss", y, p)
    total = p.sum(axis=1)
    if (np.abs(total - 1.0) > 1e-3).any():
        raise DataError(
            f"log_loss needs probabilities of classes, which sum to 1, but a row has the sum "
            f"{total[np.argmax(np.abs(total - 1.0))]:.4g}: end the network with Softmax"
        )
    least = np.finfo(np.float64).eps
    picked = np.clip((p / total[:, None])[np.arange(len(p)), labels], least, 1.0 - least)
    return _average(-np.log(picked), weights)


# ---------------------------------------------------------------------------- how they count


class _Counts:
    """The rows of each class, or of each label: predicted right, predicted wrong, and missed."""

    def __init__(self, right: HostArray, wrong: HostArray, missed: HostArray, several: bool) -> None:
        self.right, self.wrong, self.missed, self.several = right, wrong, missed, several

    def __len__(self) -> int:
        return len(self.right)

    def scores(self) -> HostArray:
        """Return the F1 scores; 0 if a class is neither true nor predicted."""
        below = 2.0 * self.right + self.wrong + self.missed
        scores: HostArray = 2.0 * self.right / np.where(below > 0.0, below, 1.0)
        return scores

    def there(self) -> HostArray:
        """Return which classes are true or predicted somewhere; all labels count."""
        there: HostArray = (self.right + self.wrong + self.missed) > 0.0
        return np.ones_like(there) if self.several else there

    def together(self) -> _Counts:
        """Return the sums over all classes or labels."""
        right, wrong, missed = (part.sum(keepdims=True) for part in (self.right, self.wrong, self.missed))
        return _Counts(right, wrong, missed, several=True)


def _counts(what: str, y_true: Any, y_pred: Any, sample_weight: Any) -> _Counts | None:
    """Count the rows of each class or label; None if a prediction is NaN."""
    y, p, weights = by_position(*_checked(what, y_true, y_pred, sample_weight))
    if p.dtype.kind == "f" and np.isnan(p).any():
        return None
    labels, predicted = decided(what, y, p)
    several = labels.ndim > 1
    if not several:
        columns = p.size // len(p)
        classes = np.arange(max(columns, 2)) if p.dtype.kind == "f" else np.union1d(labels, predicted)
        labels, predicted = labels[:, None] == classes, predicted[:, None] == classes
    labels, predicted = labels.astype(bool), predicted.astype(bool)
    rows = np.ones(len(y)) if weights is None else weights
    return _Counts(
        rows @ (labels & predicted), rows @ (~labels & predicted), rows @ (labels & ~predicted), several
    )


def _one_hot(y: HostArray) -> bool:
    return bool(y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())


def _zeros_and_ones(what: str, y: HostArray) -> HostArray:
    if not np.isin(y, (0, 1)).all():
        raise DataError(
            f"{what}: targets between {float(y.min()):g} and {float(y.max()):g} are not labels: use 0 and 1"
        )
    return y


def _classes_of(what: str, y: HostArray, p: HostArray) -> HostArray:
    """Return the class of each row."""
    classes = p.shape[1] if p.ndim == 2 else 0
    if y.size == len(y) and classes > 1:
        labels = y.reshape(len(y))
        if not np.isin(labels, np.arange(classes)).all():
            raise DataError(
                f"{what}: targets between {float(labels.min()):g} and {float(labels.max()):g} are not labels "
                f"of {classes} classes: use the integers 0 to {classes - 1}"
            )
        found: HostArray = labels.astype(np.int64)
        return found
    if y.shape != p.shape or not _one_hot(y):
        raise DataError(
            f"{what} needs one class in each row, as labels or one-hot rows for predictions of shape (rows, "
            f"classes), but targets have shape {y.shape} and predictions {p.shape}"
        )
    place: HostArray = np.argmax(y, axis=1)
    return place


def _areas(what: str, y: HostArray, p: HostArray, weights: HostArray | None, of: str) -> float:
    """Return the mean of the areas of the columns."""
    if y.shape != p.shape:
        raise DataError(f"{what}: y_true of shape {y.shape} and y_pred of shape {p.shape} must fit")
    if np.isnan(p).any():
        return math.nan
    for column, ones in enumerate(y.T.astype(bool)):
        if ones.all() or not ones.any():
            raise DataError(
                f"{what} needs rows of both kinds, but {'all' if ones.all() else 'no'} rows of {of} {column} "
                "are 1: give more rows, or draw the validation rows by class"
            )
    pairs = zip(y.T.astype(bool), p.T, strict=True)
    return float(np.mean([_area(ones, score, weights) for ones, score in pairs]))


def _area(ones: HostArray, score: HostArray, weights: HostArray | None) -> float:
    """Return the area under one ROC curve, whose corners are the different scores, from the largest."""
    order = np.argsort(-score.astype(np.float64), kind="stable")
    ones, score = ones[order], score[order]
    rows = np.ones(len(ones)) if weights is None else weights[order]
    corners = np.flatnonzero(np.append(np.diff(score) != 0.0, True))
    right, wrong = (np.append(0.0, np.cumsum(rows * part)[corners]) for part in (ones, ~ones))
    return float(np.trapezoid(right, wrong) / (right[-1] * wrong[-1]))
