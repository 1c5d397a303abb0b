"""Look up the metrics a user chose: their names, which of two values is better, and the weights they take."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, DataError, NnxError, nearest
from nnx.losses import Loss
from nnx.metrics.formulas import HostArray, Metric, by_largest, by_position, decided, pinball
from nnx.metrics.names import NAMES, OF_LARGEST, OF_LIKELIHOOD, OF_PROBABILITIES, RISING

Metrics = Sequence[str | Metric] | Mapping[str, str | Metric]

# scikit-learn's functions that compare labels and do not accept probabilities
OF_LABELS = (
    "accuracy_score", "balanced_accuracy_score", "cohen_kappa_score", "f1_score", "fbeta_score",
    "hamming_loss", "jaccard_score", "matthews_corrcoef", "precision_score", "recall_score", "zero_one_loss",
)  # fmt: skip
# functions that accept targets of 0, but only predictions above 0
ABOVE_ZERO = ("mean_poisson_deviance", "mean_tweedie_deviance", "d2_tweedie_score")


def get(metric: str | Metric) -> tuple[str, Metric]:
    """Return (name, metric) for a name (a key of `NAMES`) or a callable.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text suggests the nearest), or it is a scorer of scikit-learn.
    """
    if callable(metric):
        if hasattr(metric, "_score_func"):
            raise ConfigurationError(
                f"{metric!r} scores an estimator, not predictions: use a function of sklearn.metrics"
            )
        function = _function(metric)
        return getattr(function, "__name__", type(function).__name__), metric
    if metric not in NAMES:
        raise ConfigurationError(f"unknown metric {metric!r}{nearest(str(metric), NAMES)}")
    return metric, NAMES[metric]


def choose(metrics: Metrics) -> list[tuple[str, Metric]]:
    """Return the metrics with their names; no two may have the same name.

    Parameters
    ----------
    metrics : sequence of str or callable, or mapping of names to them

    Raises
    ------
    ConfigurationError
        If two have the same name, or one is called ``"loss"``; errors as in `get`.
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
                f'{wrong}, but each needs a different name, and "loss" is taken: '
                'name them, metrics={"first": …, "second": …}'
            )
    return chosen


def direction(metric: Metric) -> str | None:
    """Return ``"max"`` if a larger value is better, ``"min"`` if a smaller one is, None if it is unknown.

    It is known for the metrics here, and for scikit-learn's by their names: a larger ``…_score`` is better,
    and a smaller ``…_error``, ``…_loss`` or ``…_deviance`` (scikit-learn's user guide, section 3.4).
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
    """Compute a metric, with the weights of the rows if there are any.

    With ``estimates``, the predictions estimate the targets themselves and may lie outside [0, 1]. A metric
    that takes probabilities then reads 1.2 as 1 and -0.2 as 0. A metric that takes the largest prediction of
    a row reads them unchanged.

    Raises
    ------
    ConfigurationError
        If the rows have different weights but the metric has no parameter ``sample_weight``, or if it does
        not return a number.
    DataError
        If the metric does not accept the targets and predictions; the text names it.
    """
    options: dict[str, HostArray] = {}
    if weights is not None:
        # a weight of 0 means a missing row; equal weights have no effect
        if not weights.all():
            counted = weights > 0.0
            y_true, y_pred, weights = y_true[counted], y_pred[counted], weights[counted]
        if (weights != weights[0]).any():
            check_weights(name, metric)
        else:
            weights = None
    labels = of_labels(metric)
    if labels:
        y_true, y_pred, weights = by_position(y_true, y_pred, weights)
    if weights is not None:
        options = {"sample_weight": weights.astype(np.float64)}
    if estimates and (labels or _function(metric) in OF_PROBABILITIES):
        by_class = labels or _function(metric) in OF_LARGEST
        chosen = by_class and by_largest(*by_position(y_true, y_pred, None)[:2])
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
            f"{y_pred.shape}): set its options with functools.partial, or write a function that prepares "
            "its arguments"
        ) from error
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"metric {name!r} returned {value!r:.60}, not one number") from error


def taken_for(
    loss: Loss, name: str, metric: Metric, y_true: HostArray, y_pred: HostArray, weights: HostArray | None
) -> float:
    """Compute a metric of the outputs of a network that is trained with a loss; see `taken`.

    If the network has several outputs for each target, most metrics get the one that predicts the target.

    Raises
    ------
    DataError
        If the metric needs probabilities, and the loss gives decision values.
    """
    if loss.decides and _function(metric) in OF_LIKELIHOOD:
        raise DataError(
            f"metric {name!r} needs probabilities, but {type(loss).__name__} gives decision values: use "
            "accuracy, f1 or roc_auc, or a cross-entropy"
        )
    levels = getattr(loss, "quantiles", None)
    if levels and metric is pinball:
        return taken(name, partial(metric, quantiles=levels), y_true, y_pred, weights)
    return taken(name, metric, y_true, loss.answers(y_pred), weights, loss.estimates)


def of_labels(metric: Metric) -> bool:
    """Return whether a metric is a function of scikit-learn that compares labels, not probabilities."""
    function = _function(metric)
    return _is_scikit_learns(function) and getattr(function, "__name__", "") in OF_LABELS


def tried_on_targets(metric: Metric) -> bool:
    """Return whether a metric is a function of scikit-learn that accepts the targets as predictions."""
    function = _function(metric)
    return _is_scikit_learns(function) and getattr(function, "__name__", "") not in ABOVE_ZERO


def check_weights(name: str, metric: Metric) -> None:
    """Refuse a metric that cannot use the weights of rows.

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
            f"the validation rows have weights, but metric {name!r} cannot use them: add a parameter "
            "sample_weight to it, or use validation=(x, y) without weights"
        )


def _function(metric: Metric) -> Metric:
    """Return the function inside `functools.partial` objects."""
    while isinstance(metric, partial):
        metric = metric.func
    return metric


def _is_scikit_learns(function: Metric) -> bool:
    return str(getattr(function, "__module__", "")).startswith("sklearn.metrics.")


def _read_only(array: HostArray) -> HostArray:
    """Return a view that a metric cannot change, so that the next metric and epoch see the same data."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_mode(what: str, mode: Any) -> None:
    """Refuse a mode of a monitored value that is not valid."""
    if mode not in ("auto", "min", "max"):
        raise ConfigurationError(f"{what}: mode must be auto, min or max, not {mode!r}")


def sign(what: str, monitor: str, mode: str, directions: Mapping[str, str | None]) -> float:
    """Return 1 if a smaller value is better, −1 if a larger one is: the best has the smallest value · sign.

    Parameters
    ----------
    what : str
        Name of the caller, for the error.
    monitor, mode : str
    directions : mapping
        `direction` of each value that `fit` records, by name.

    Raises
    ------
    ConfigurationError
        If the mode is auto and it is unknown which is better.
    """
    if mode == "auto":
        by_name = {name: direction(metric) for name, metric in NAMES.items()} | {"loss": "min"}
        # a value that a user's callback records is known by its name alone
        mode = directions.get(monitor, by_name.get(monitor.removeprefix("val_"))) or ""
        if not mode:
            unknown = monitor not in directions
            recorded = f", and fit does not record it{nearest(monitor, directions)}" if unknown else ""
            raise ConfigurationError(
                f"{what}: it is unknown whether a smaller or a larger {monitor!r} is better{recorded}; "
                "set mode='min' or mode='max'"
            )
    return -1.0 if mode == "max" else 1.0
