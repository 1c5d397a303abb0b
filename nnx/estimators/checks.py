"""What the estimators refuse in the words of their parameters, and how they count weighted rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight

import nnx
from nnx import losses
from nnx.backends import foreign
from nnx.data.rows import HostArray
from nnx.data.samples import host_array
from nnx.data.weights import balanced, refuse_unusable
from nnx.errors import ConfigurationError, DataError, flag, nearest, number, whole

SYNONYMS = {"log_loss": "cross_entropy"} | {
    name: kind.record.estimators for name, kind in losses.NAMES.items() if kind.record.estimators
}


def check_parameters(estimator: Any) -> None:
    """Refuse parameters that make no sense, each by the name that the user wrote.

    Raises
    ------
    ConfigurationError
    """
    for size in sizes(estimator.hidden_layer_sizes):
        whole("hidden_layer_sizes", size)
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
    for name in ("early_stopping", "warm_start"):
        flag(name, getattr(estimator, name))
    if not isinstance(estimator.learning_rate, (nnx.Schedule, type(None))):
        number("learning_rate", estimator.learning_rate, "[0, inf)")


def sizes(hidden_layer_sizes: Any) -> list[Any]:
    """The widths of the hidden layers, of which a single one may stand alone."""
    several = isinstance(hidden_layer_sizes, Iterable) and getattr(hidden_layer_sizes, "ndim", 1) > 0
    return list(hidden_layer_sizes) if several else [hidden_layer_sizes]


def unknown(what: str, value: Any, names: Iterable[str]) -> ConfigurationError:
    """The refusal of a value that is no name, with the nearest one."""
    names = list(names)
    meant = SYNONYMS.get(value) if isinstance(value, str) else None
    hint = f": did you mean {meant!r}?" if meant in names else nearest(str(value), names)
    return ConfigurationError(f"unknown {what} {value!r:.80}{hint}")


def on_host(x: Any, name: str) -> Any:
    """The NumPy form of PyTorch's, JAX's and their like's arrays; what scikit-learn itself reads, as it is.

    Raises
    ------
    DataError
        If it lies on a GPU, or has no such form.
    """
    known = isinstance(x, np.ndarray) or not (hasattr(x, "__dlpack__") or foreign.on_gpu(x))
    return x if known else host_array(x, name)


def checked_weights(sample_weight: Any, X: Any) -> HostArray | None:
    """One weight a row, or None for none.

    Raises
    ------
    DataError
        If one is negative, or all are 0.
    """
    if sample_weight is None:
        return None
    sample_weight = on_host(sample_weight, "sample_weight")
    weights: HostArray = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    refuse_unusable(weights)
    return weights


def counted(weights: HostArray | None, *arrays: Any) -> tuple[Any, ...]:
    """Weights and arrays without the rows of weight 0, which are as good as missing."""
    if weights is None or weights.all():
        return weights, *arrays
    rows = np.flatnonzero(weights)
    return weights[rows], *(None if array is None else array[rows] for array in arrays)


def class_factors(
    class_weight: Any, labels: HostArray, classes: HostArray, weights: HostArray | None
) -> HostArray:
    """The factor of each row, by its class.

    ``"balanced"`` is W / (classes · W_k): W the weight of all rows, W_k that of the class's, and the classes
    those that have rows.

    Parameters
    ----------
    class_weight : "balanced" or dict
    labels : array of shape (rows,)
        Places among the classes.

    Raises
    ------
    ConfigurationError
        If it is neither, names what is no class, has a factor that is negative, or leaves no row.
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
    by_row = factors[labels]
    if not by_row.any():
        raise ConfigurationError(f"class_weight={class_weight!r:.80} leaves no row a weight above 0")
    return by_row


def factors_of_labels(class_weight: Any, y: HostArray, weights: HostArray | None) -> HostArray:
    """The factor of each row of labels that come together: the product of those of its labels."""
    columns = class_weight if isinstance(class_weight, list) else [class_weight] * y.shape[1]
    if isinstance(class_weight, dict) or len(columns) != y.shape[1]:
        raise ConfigurationError(
            f"class_weight of {y.shape[1]} labels that come together must be 'balanced', or a list with a "
            f"dict for each, not {class_weight!r:.80}"
        )
    values = np.array([0, 1])
    parts = [
        class_factors(column, y[:, k].astype(np.int64), values, weights) for k, column in enumerate(columns)
    ]
    product: HostArray = np.prod(parts, axis=0)
    return product


def held_out(
    rows: int, fraction: float, random: Any, labels: HostArray | None
) -> tuple[HostArray, HostArray]:
    """The rows to train on and those to hold out, with the same share of each class.

    Raises
    ------
    DataError
        If there are too few rows for that.
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
