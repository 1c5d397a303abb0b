"""Check the estimators' parameters and data, and compute the weights of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import _check_sample_weight

import nnx
from nnx import losses
from nnx.backends import foreign
from nnx.data.rows import HostArray
from nnx.data.samples import host_array
from nnx.data.weights import balanced, refuse_unusable
from nnx.errors import ConfigurationError, DataError, flag, nearest, number, whole
from nnx.estimators.array_api import dispatches, moved_to_host, stays, take
from nnx.estimators.hidden import check_hidden
from nnx.network.precision import PRECISIONS

SYNONYMS = {"log_loss": "cross_entropy"} | {
    name: kind.record.estimators for name, kind in losses.NAMES.items() if kind.record.estimators
}

ONE_HOT = 2**22  # largest size of one-hot targets (the compiled loop needs them); beyond it, labels are used


def check_parameters(estimator: Any) -> None:
    """Refuse invalid parameters; the error names the parameter.

    Raises
    ------
    ConfigurationError
        If a parameter is invalid.
    """
    check_hidden(estimator.hidden_layer_sizes, estimator.image_shape)
    if hasattr(estimator, "n_components"):
        whole("n_components", estimator.n_components)
    for name in ("epochs", "patience", "batch_size"):
        value = getattr(estimator, name)
        if isinstance(value, str) and name == "batch_size":
            if value != "auto":
                raise ConfigurationError(f"batch_size must be a positive integer or 'auto', not {value!r}")
        else:
            whole(name, value, least=0 if name == "patience" else 1)
    number("dropout", estimator.dropout, "[0, 1)")
    number("validation_fraction", estimator.validation_fraction, "(0, 1)")
    if estimator.precision not in (None, *PRECISIONS):
        raise unknown("precision", estimator.precision, PRECISIONS)
    for name in ("early_stopping", "warm_start", "sparse_updates", "residual"):
        flag(name, getattr(estimator, name))
    if not isinstance(estimator.learning_rate, (nnx.Schedule, type(None))):
        number("learning_rate", estimator.learning_rate, "[0, inf)")


def unknown(what: str, value: Any, names: Iterable[str]) -> ConfigurationError:
    """Return the error for an unknown name; it suggests the nearest known name."""
    names = list(names)
    meant = SYNONYMS.get(value) if isinstance(value, str) else None
    hint = f": did you mean {meant!r}?" if meant in names else nearest(str(value), names)
    return ConfigurationError(f"unknown {what} {value!r:.80}{hint}")


def on_host(x: Any, name: str) -> Any:
    """Convert arrays of PyTorch, JAX and others to NumPy; leave data unchanged that scikit-learn can read.

    Under scikit-learn's array API dispatch, arrays on a GPU are copied to the host. (`stays` says which X of
    CuPy does not get here.)

    Raises
    ------
    DataError
        If the array lies on a GPU, without dispatch, or cannot be converted, or has masked cells.
    """
    foreign.refuse_masked(x, name)
    if dispatches():
        return moved_to_host(x)
    known = isinstance(x, np.ndarray) or not (hasattr(x, "__dlpack__") or foreign.on_gpu(x))
    return x if known else host_array(x, name)


def checked_weights(sample_weight: Any, X: Any, name: str = "sample_weight") -> HostArray | None:
    """Return one weight per row, or None if there are no weights; errors call them `name`.

    Raises
    ------
    DataError
        If a weight is negative or masked, or all are 0.
    """
    if sample_weight is None:
        return None
    sample_weight = on_host(sample_weight, name)
    rows = np.empty((len(X), 0)) if stays(X) else X
    weights: HostArray = _check_sample_weight(sample_weight, rows, dtype=X.dtype)
    refuse_unusable(weights)
    return weights


def counted(weights: HostArray | None, *arrays: Any) -> tuple[Any, ...]:
    """Return the weights and arrays without the rows of weight 0, which count as missing."""
    if weights is None or weights.all():
        return weights, *arrays
    rows = np.flatnonzero(weights)
    return weights[rows], *(None if array is None else take(array, rows) for array in arrays)


def class_factors(
    class_weight: Any,
    labels: HostArray,
    classes: HostArray,
    weights: HostArray | None,
    rows: HostArray | None = None,
) -> HostArray:
    """Return the factor of each row, which depends on its class.

    ``"balanced"`` is W / (classes · W_k), where W is the weight of all rows, W_k the weight of the rows of
    class k, and ``classes`` the number of classes that have rows.

    Parameters
    ----------
    class_weight : "balanced" or dict
    labels : array of shape (rows,)
        The position of each row's class in `classes`.
    rows : array of shape (other rows,), optional
        The positions of the classes of other rows, of validation data; the factors are then those of them.

    Raises
    ------
    ConfigurationError
        If `class_weight` has another type, names an unknown class, has a negative factor, or gives all rows
        the weight 0.
    """
    factors = np.ones(len(classes))
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(labels, weights, len(classes)).astype(np.float64)
        factors = balanced(totals, int(np.count_nonzero(totals)))
    elif isinstance(class_weight, dict):
        known = classes.tolist()
        for name, factor in class_weight.items():
            checked = number(f"class_weight of class {name!r}", factor, "[0, inf)")
            if name in known:
                factors[known.index(name)] = checked
        odd = [name for name in class_weight if name not in known]
        if odd and len(class_weight) - len(odd) < len(known):
            raise ConfigurationError(f"class_weight names {odd[0]!r}, which is none of the classes {known}")
    else:
        raise ConfigurationError(
            f"class_weight must be 'balanced', a dict of factors by class, or None, not {class_weight!r:.80}"
        )
    by_row = factors[labels if rows is None else rows]
    if not by_row.any():
        raise ConfigurationError(
            f"class_weight={class_weight!r:.80} gives all rows the weight 0: give a class a factor above 0"
        )
    return by_row


def factors_of_labels(
    class_weight: Any, y: HostArray, weights: HostArray | None, rows: HostArray | None = None
) -> HostArray:
    """Return the factor of each row with several labels: the product of the factors of its labels.

    `rows` are the labels of other rows, of validation data; the factors are then those of them.
    """
    columns = class_weight if isinstance(class_weight, list) else [class_weight] * y.shape[1]
    if isinstance(class_weight, dict) or len(columns) != y.shape[1]:
        raise ConfigurationError(
            f"class_weight for {y.shape[1]} labels per row must be 'balanced', or a list with a dict for "
            f"each label, not {class_weight!r:.80}"
        )
    values = np.array([0, 1])
    parts = [
        class_factors(
            column, y[:, k].astype(np.int64), values, weights,
            None if rows is None else rows[:, k].astype(np.int64),
        )
        for k, column in enumerate(columns)
    ]  # fmt: skip
    product: HostArray = np.prod(parts, axis=0)
    return product


def held_out(
    rows: int, fraction: float, random: Any, labels: HostArray | None
) -> tuple[HostArray, HostArray]:
    """Return the rows to train on and the rows to hold out, with the same share of each class.

    Raises
    ------
    DataError
        If there are too few rows.
    """
    try:
        train, rest = train_test_split(
            np.arange(rows), test_size=fraction, random_state=random, stratify=labels
        )
    except ValueError as error:
        raise DataError(
            f"early_stopping=True cannot hold out validation_fraction={fraction!r} of {rows} rows: {error}"
        ) from error
    return train, rest


def places_of(y: HostArray, classes: HostArray, name: str = "y") -> HostArray:
    """Return the position of each label in `classes`; an error names labels that are not there."""
    encoder = LabelEncoder()
    encoder.classes_ = classes
    try:
        places: HostArray = encoder.transform(y)
    except ValueError as error:
        known = "the first fit" if name == "y" else "y"
        odd = [label for label in np.unique(y).tolist() if label not in classes.tolist()]
        raise DataError(
            f"{name} contains unseen labels {odd[:5]}: the classes of {known} are {classes.tolist()}"
        ) from error
    return places


def class_targets(labels: HostArray, classes: int, loss: nnx.Loss) -> HostArray:
    """Return the targets: one column for two classes, else one-hot rows, or the labels if those are large."""
    if classes == 2:
        return labels.reshape(-1, 1)
    if isinstance(loss, nnx.CategoricalCrossEntropy) and len(labels) * classes > ONE_HOT:
        return labels
    return np.eye(classes, dtype=np.float32)[labels]
