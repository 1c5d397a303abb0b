"""Validation data of the user's own in `fit`, and the value that early stopping follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sklearn.utils.validation import _check_feature_names, check_array, check_consistent_length

from nnx import metrics
from nnx.data.rows import HostArray
from nnx.data.samples import check_axes
from nnx.errors import ConfigurationError, DataError
from nnx.estimators.array_api import adopted, stays, take
from nnx.estimators.checks import checked_weights, counted, on_host
from nnx.metrics.choice import check_mode

TRAINING, VALIDATION = "loss", "val_loss"  # the names of the two losses in a history


class Given(NamedTuple):
    """Validation data as the caller of `fit` has them."""

    X: Any
    y: Any = None
    weights: Any = None


class Part(NamedTuple):
    """Checked rows, targets and weights; ``y`` is None if the rows are their own targets."""

    x: Any
    y: HostArray | None
    weights: HostArray | None

    @property
    def targets(self) -> Any:
        """The targets; the rows themselves if there are no others."""
        return self.x if self.y is None else self.y

    def rows(self, numbers: HostArray) -> Part:
        """Return the rows with these numbers."""
        y, weights = (None if array is None else array[numbers] for array in (self.y, self.weights))
        return Part(take(self.x, numbers), y, weights)


def given(X_val: Any, y_val: Any, sample_weight_val: Any, *, targets: bool = True) -> Given | None:
    """Return the validation data, or None if there are none.

    Raises
    ------
    DataError
        If only a part of them is given.
    """
    if X_val is None:
        for name, value in (("y_val", y_val), ("sample_weight_val", sample_weight_val)):
            if value is not None:
                raise DataError(f"{name} is given without X_val: give both, or leave out both")
        return None
    if targets and y_val is None:
        raise DataError("X_val is given without y_val: give both, or leave out both")
    return Given(X_val, y_val, sample_weight_val)


def checked(
    estimator: Any,
    data: Given | None,
    x: Any,
    targets: Callable[[HostArray], tuple[HostArray, HostArray | None]] | None = None,
) -> Part | None:
    """Check validation data against the checked rows x to train on; without data, return None.

    Parameters
    ----------
    targets : callable, optional
        Converts ``y_val`` to the network's targets, and returns them and a factor for each weight, or None.
        Without it, the rows are their own targets.

    Raises
    ------
    DataError
        If they do not fit the rows to train on.
    """
    if data is None:
        return None
    rows = adopted(data.X, estimator.device)
    if stays(rows):
        check_axes(rows, "X_val", x.dtype)
        rows = rows if rows.dtype == x.dtype else rows.astype(x.dtype)
    else:
        rows = check_array(
            on_host(data.X, "X_val"), accept_sparse="csr", dtype=x.dtype, allow_nd=True, input_name="X_val"
        )
    _check_feature_names(estimator, data.X, reset=False)
    if rows.shape[1:] != x.shape[1:]:
        raise DataError(f"X_val has rows of shape {rows.shape[1:]}, but X has rows of shape {x.shape[1:]}")
    weights = checked_weights(data.weights, rows, "sample_weight_val")
    if targets is None:
        weights, rows = counted(weights, rows)
        return Part(rows, None, weights)
    y = check_array(
        on_host(data.y, "y_val"), accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y_val"
    )
    check_consistent_length(rows, y)
    weights, rows, y = counted(weights, rows, y)
    y, factors = targets(y)
    if factors is not None:
        weights = factors if weights is None else weights * factors
        weights, rows, y = counted(weights, rows, y)
    return Part(rows, y, weights)


class Monitor(NamedTuple):
    """The value that early stopping follows: its name in the history, and the metric to compute for it."""

    name: str
    metrics: dict[str, Any]

    @property
    def on_validation(self) -> str:
        """The name of the value on validation data."""
        return VALIDATION if self.name == TRAINING else self.name

    @property
    def label(self) -> str:
        """The value in words."""
        return {TRAINING: "training loss", VALIDATION: "validation loss"}.get(self.name, self.name)


def monitored(monitor: Any, mode: Any) -> Monitor:
    """Return what `monitor` names.

    Raises
    ------
    ConfigurationError
        If it is no loss and no metric, or the mode is invalid.
    """
    check_mode("monitor", mode)
    if isinstance(monitor, str) and monitor in (TRAINING, VALIDATION):
        return Monitor(monitor, {})
    if not isinstance(monitor, str) and not callable(monitor):
        raise ConfigurationError(
            f"monitor must be 'val_loss', 'loss', or a metric (its name or a function), not {monitor!r:.60}"
        )
    name, metric = metrics.get(monitor.removeprefix("val_") if isinstance(monitor, str) else monitor)
    return Monitor(f"val_{name}", {name: metric})
