"""What `fit` refuses before it trains: callbacks and metrics that cannot do what they are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nnx.data.samples import Samples
from nnx.errors import ConfigurationError
from nnx.metrics.choice import check_weights, taken, tried_on_targets
from nnx.metrics.formulas import NAMES, Metric
from nnx.training.callbacks import Callback


def check_kind(what: str, given: Any, kind: type, example: str) -> None:
    """Refuse what is no loss or no optimizer; a class instead of an object too.

    Raises
    ------
    ConfigurationError
        The text gives the form that is right.
    """
    if isinstance(given, kind):
        return
    wrong = f"{given!r:.60}"
    if isinstance(given, type) and issubclass(given, kind):
        wrong, example = f"the class {given.__name__}", given.__name__
    raise ConfigurationError(f"{what} must be an nnx {what} such as nnx.{example}(), not {wrong}")


def check_callbacks(callbacks: Any) -> list[Callback]:
    """The callbacks as a list.

    Raises
    ------
    ConfigurationError
        If they are none, or one that stands in no list.
    """
    found: list[Any] = list(callbacks) if isinstance(callbacks, Iterable) else [None]
    if not all(isinstance(callback, Callback) for callback in found):
        raise ConfigurationError(
            "callbacks must be a list of objects such as nnx.EarlyStopping(), not "
            f"{callbacks!r:.100}: callbacks=[…]"
        )
    own = (c for c in found if type(c).__module__.startswith("nnx."))  # which write to their path
    paths = [c.path.absolute() for c in own if hasattr(c, "path")]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigurationError(f"two callbacks write {path}: give each a file of its own")
    return found


def check_metrics(metrics: list[tuple[str, Metric]], samples: Samples, output_shape: tuple[int, ...]) -> None:
    """Refuse metrics that do not fit the targets, or cannot take the weights of their rows.

    nnx's own are tried on predictions of 0, scikit-learn's on the targets themselves; other functions are
    not called before the first epoch ends.

    Raises
    ------
    DataError, ConfigurationError
        As the metric does, or as `nnx.metrics.check_weights`.
    """
    weights = samples.weights
    counted = None if weights is None else weights[weights > 0.0]
    y_true: Any = np.asarray(samples.y) if metrics else None
    zeros = np.broadcast_to(np.float32(0.0), (len(samples), *output_shape))
    for name, metric in metrics:
        if counted is not None and (counted != counted[0]).any():
            check_weights(name, metric)
        if metric in NAMES.values():
            taken(name, metric, y_true, zeros, weights)
        elif tried_on_targets(metric):
            labels = y_true.ndim == len(output_shape)  # one of the classes for each position
            exact = np.eye(output_shape[-1], dtype=np.float32)[y_true] if labels else y_true
            taken(name, metric, y_true, exact, weights)
