"""Metrics that a user chose: their names, which of two values is better, and the weights they take."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, DataError, NnxError, nearest
from nnx.metrics.formulas import (
    NAMES,
    OF_PROBABILITIES,
    RISING,
    HostArray,
    Metric,
    accuracy,
    by_largest,
    decided,
)

Metrics = Sequence[str | Metric] | Mapping[str, str | Metric]

# scikit-learn's functions that compare labels and take no probabilities
OF_LABELS = (
    "accuracy_score", "balanced_accuracy_score", "cohen_kappa_score", "f1_score", "fbeta_score",
    "hamming_loss", "jaccard_score", "matthews_corrcoef", "precision_score", "recall_score", "zero_one_loss",
)  # fmt: skip
# those that take targets of 0, but only predictions above 0
ABOVE_ZERO = ("mean_poisson_deviance", "mean_tweedie_deviance", "d2_tweedie_score")


def get(metric: str | Metric) -> tuple[str, Metric]:
    """(name, metric) from a name (a key of `NAMES`) or a callable.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text names the nearest), or it is a scorer of scikit-learn.
    """
    if callable(metric):
        if hasattr(metric, "_score_func"):
            raise ConfigurationError(
                f"{metric!r} scores an estimator, not predictions: give the function of sklearn.metrics"
            )
        function = _function(metric)
        return getattr(function, "__name__", type(function).__name__), metric
    if metric not in NAMES:
        raise ConfigurationError(f"unknown metric {metric!r}{nearest(str(metric), NAMES)}")
    return metric, NAMES[metric]


def choose(metrics: Metrics) -> list[tuple[str, Metric]]:
    """The metrics by name: each must have one of its own.

    Parameters
    ----------
    metrics : sequence of str or callable, or mapping of names to them

    Raises
    ------
    ConfigurationError
        If two have one name, or one is called ``"loss"``; errors as for `get`.
    """
    if isinstance(metrics, str) or callable(metrics):
        given = repr(metrics) if isinstance(metrics, str) else getattr(metrics, "__name__", "…")
        raise ConfigurationError(f"metrics must be a list: metrics=[{given}]")
    if isinstance(metrics, Mapping):
        chosen = [(name, get(metric)[1]) for name, metric in metrics.items()]
    else:
        chosen = [get(metric) for metric in metrics]
    names = [name for name, _ in chosen]
    for name in names:
        if not isinstance(name, str) or not name or name == "loss" or names.count(name) > 1:
            wrong = (
                f"two metrics are called {name!r}"
                if names.count(name) > 1
                else f"a metric is called {name!r}"
            )
            raise ConfigurationError(
                f'{wrong}, but each needs a name of its own, and "loss" is taken: '
                'name them, metrics={"first": …, "second": …}'
            )
    return chosen


def direction(metric: Metric) -> str | None:
    """``"max"`` where a larger value is better, ``"min"`` where a smaller one is, None where nothing says so.

    It is known of the metrics here, and of scikit-learn's by their names: a ``…_score`` is to be large, an
    ``…_error``, ``…_loss`` or ``…_deviance`` small (scikit-learn's user guide, section 3.4).
    """
    function = _function(metric)
    if function in NAMES.values():
        return "max" if function in RISING else "min"
    if _is_scikit_learns(function):
        name = getattr(function, "__name__", "")
        if name.endswith(("_score", "_corrcoef")):
            return "max"
        if name.endswith(("_error", "_loss", "_deviance")):
            return "min"
    return None


def taken(
    name: str,
    metric: Metric,
    y_true: HostArray,
    y_pred: HostArray,
    weights: HostArray | None,
    estimates: bool = False,
) -> float:
    """The value of a metric, with the rows' weights if there are any.

    With ``estimates`` predictions estimate the targets themselves: where a metric takes probabilities, one
    of 1.2 says 1 and one of -0.2 says 0. Which of several is the largest they say as they are.

    Raises
    ------
    ConfigurationError
        If the rows differ in weight but the metric has no parameter ``sample_weight``, or it gives no number.
    DataError
        If the metric does not take the targets and predictions; the text names it.
    """
    options: dict[str, HostArray] = {}
    if weights is not None:
        # a weight of 0 is a missing row, and weights that are all the same are none
        if not weights.all():
            counted = weights > 0.0
            y_true, y_pred, weights = y_true[counted], y_pred[counted], weights[counted]
        if (weights != weights[0]).any():
            check_weights(name, metric)
            options = {"sample_weight": weights.astype(np.float64)}
    labels = of_labels(metric)
    if estimates and (labels or _function(metric) in OF_PROBABILITIES):
        chosen = (labels or _function(metric) is accuracy) and by_largest(y_true, y_pred)
        y_pred = y_pred if chosen else np.clip(y_pred, 0.0, 1.0)
    if labels:
        y_true, y_pred = decided(name, y_true, y_pred)
    try:
        value: Any = metric(_read_only(y_true), _read_only(y_pred), **options)
    except ValueError as error:
        if isinstance(error, NnxError):
            raise
        raise DataError(
            f"metric {name!r}: {error} (targets of shape {y_true.shape}, predictions of shape "
            f"{y_pred.shape}): set its options with functools.partial, or call it in a function of yours, "
            "which gives it what it takes"
        ) from error
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"metric {name!r} gave {value!r:.60}: it must give one number") from error


def of_labels(metric: Metric) -> bool:
    """Whether it is a function of scikit-learn that compares labels: it is given those, not probabilities."""
    function = _function(metric)
    return _is_scikit_learns(function) and getattr(function, "__name__", "") in OF_LABELS


def tried_on_targets(metric: Metric) -> bool:
    """Whether it is a function of scikit-learn that takes the targets themselves as predictions."""
    function = _function(metric)
    return _is_scikit_learns(function) and getattr(function, "__name__", "") not in ABOVE_ZERO


def check_weights(name: str, metric: Metric) -> None:
    """Refuse a metric that cannot take the weights of rows.

    Raises
    ------
    ConfigurationError
        If it has no parameter ``sample_weight``.
    """
    try:
        known = "sample_weight" in inspect.signature(metric).parameters
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ConfigurationError(
            f"the validation rows have weights, which metric {name!r} does not take: give it a parameter "
            "sample_weight, or validation=(x, y) without weights"
        )


def _function(metric: Metric) -> Metric:
    """The function within partials."""
    while isinstance(metric, partial):
        metric = metric.func
    return metric


def _is_scikit_learns(function: Metric) -> bool:
    return str(getattr(function, "__module__", "")).startswith("sklearn.metrics.")


def _read_only(array: HostArray) -> HostArray:
    """A view that a metric cannot change: the next metric and the next epoch see the same data."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_mode(what: str, mode: Any) -> None:
    """Refuse what is no mode of a monitored value."""
    if mode not in ("auto", "min", "max"):
        raise ConfigurationError(f"{what}: mode must be auto, min or max, not {mode!r}")


def sign(what: str, monitor: str, mode: str, directions: Mapping[str, str | None]) -> float:
    """1 where a smaller value is better, −1 where a larger one is: the smallest product is the best.

    Parameters
    ----------
    what : str
        Who asks, for the message.
    monitor, mode : str
    directions : mapping
        `direction` of each value that `fit` records, by name.

    Raises
    ------
    ConfigurationError
        If the mode is auto and nothing says which is better.
    """
    if mode == "auto":
        by_name = {name: direction(metric) for name, metric in NAMES.items()} | {"loss": "min"}
        # by its name alone: what a callback of the user's records
        mode = directions.get(monitor, by_name.get(monitor.removeprefix("val_"))) or ""
        if not mode:
            unknown = monitor not in directions
            recorded = f", nor does fit record it{nearest(monitor, directions)}" if unknown else ""
            raise ConfigurationError(
                f"{what}: nothing says whether a smaller or a larger {monitor!r} is better{recorded}; "
                "give mode='min' or mode='max'"
            )
    return -1.0 if mode == "max" else 1.0
