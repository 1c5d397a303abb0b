"""Measure a network on the rows held out, and compare it with the simplest guess.

All figures are in the units of the data, and count a row as often as its weight says. ``scaled`` has errors
in the unit of the loss, which is that of the scaled data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.experiments import convolutions
from nnx.experiments.result import HostArray, Result
from nnx.experiments.train.labelled import Labelled
from nnx.experiments.train.preparation import Preparation
from nnx.experiments.train.scaling import BYTES, Scaling, moments, parts
from nnx.metrics import mean_absolute_error, mean_squared_error, r2, roc_auc, roc_auc_ovr
from nnx.network import Network

DRAWN = 2000  # held-out rows kept for the figures
MATRIX = 100  # classes up to which the confusion matrix is kept


def measure(
    result: Result,
    network: Network,
    data: Labelled,
    prepared: Preparation,
    train: HostArray,
    held_out: HostArray,
) -> None:
    """Add metrics, arrays and notes from the rows held out to a result."""
    _measure(result, network, data, prepared, train, held_out)
    if data.layout.image is not None:
        result.arrays |= _observed(network, data, prepared, held_out)


def _measure(
    result: Result,
    network: Network,
    data: Labelled,
    prepared: Preparation,
    train: HostArray,
    held_out: HostArray,
) -> None:
    weights = None if data.weights is None else data.weights[held_out]
    if data.y is None:
        _of_coding(result, network, data, prepared, held_out, weights)
        return
    answers, true = prepared.predict(network, data.x, held_out), data.y[held_out]
    if data.task == "classification":
        counts = np.bincount(
            data.y[train], None if data.weights is None else data.weights[train], len(data.classes)
        )
        result.metrics |= of_classes(true, answers, data.classes, int(np.argmax(counts)), weights)
        _compare_with_commonest(result, data.classes[int(np.argmax(counts))])
        return
    assert prepared.outputs is not None
    names = data.targets or tuple(f"target {number + 1}" for number in range(answers.shape[1]))
    result.metrics |= of_values(true, answers, weights) | {
        "scaled": _scaled(prepared.outputs, true, answers, weights),
        "by_target": {
            name: of_values(true[:, [k]], answers[:, [k]], weights) for k, name in enumerate(names)
        },
    }
    for (name, errors), column in zip(result.metrics["by_target"].items(), true.T, strict=True):
        if errors["r2"] <= 0.0 and np.ptp(column) > 0.0:  # R² of one value says nothing
            result.notes.append(
                f"for {name} the model is no better than always answering with the mean: its R² on the rows "
                f"held out is {errors['r2']:.3g}"
            )
    result.arrays = {"true": true[:DRAWN], "predicted": answers[:DRAWN]}


def _observed(
    network: Network, data: Labelled, prepared: Preparation, held_out: HostArray
) -> dict[str, HostArray]:
    """Return what a report shows of convolutions, for the first images held out of each class."""
    labels = np.arange(1, len(held_out) + 1)
    if data.y is not None and data.classes:
        labels = np.array(data.classes)[data.y[held_out]]
    first = np.sort(np.unique(labels, return_index=True)[1])[: convolutions.MOST_IMAGES]
    pixels = data.x[held_out[first]]
    images = prepared.inputs.apply(pixels, network.dtype)
    drawn = np.clip(pixels / BYTES, 0.0, 1.0)
    return convolutions.observed(network, images, drawn, labels[first], data.layout.image or ())


def of_classes(
    true: HostArray,
    probabilities: HostArray,
    classes: tuple[str, ...],
    commonest: int,
    weights: HostArray | None = None,
) -> dict[str, Any]:
    """Compute the metrics of a classification with scikit-learn.

    Parameters
    ----------
    true : array of shape (rows,)
        Labels from 0.
    probabilities : array of shape (rows, classes)
    commonest : int
        The commonest class of the rows trained on.

    Returns
    -------
    dict
        ``precision``, ``recall`` and ``f1`` are means over the classes that are true or predicted somewhere,
        scikit-learn's ``average="macro"``. ``roc_auc`` of two classes is that of the second, of more the
        mean of each against the rest; it is None if a class is missing from the rows. ``by_class`` has
        None for the recall of a class that is missing, and ``rows``: how many, or the sum of their weights.
    """
    from sklearn import metrics

    if weights is not None:
        counted = weights > 0.0
        true, probabilities, weights = true[counted], probabilities[counted], weights[counted]
    predicted, labels = np.argmax(probabilities, axis=1), np.arange(len(classes))
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(
        true, predicted, labels=labels, sample_weight=weights, zero_division=0.0
    )
    cells = metrics.confusion_matrix(true, predicted, labels=labels, sample_weight=weights)
    there = np.isin(labels, true) | np.isin(labels, predicted)
    found: dict[str, Any] = {
        "accuracy": float(metrics.accuracy_score(true, predicted, sample_weight=weights)),
        "majority_accuracy": float(np.average(true == commonest, weights=weights)),
        "balanced_accuracy": float(recall[np.isin(labels, true)].mean()),
        "precision": float(precision[there].mean()),
        "recall": float(recall[there].mean()),
        "f1": float(f1[there].mean()),
        "roc_auc": _roc_auc(true, probabilities, weights),
        "classes": list(classes),
        "by_class": {
            name: {
                "precision": float(precision[k]),
                "recall": float(recall[k]) if rows[k] else None,
                "f1": float(f1[k]),
                "rows": rows[k].item(),
            }
            for k, name in enumerate(classes)
        },
    }
    if len(classes) <= MATRIX:
        found["confusion_matrix"] = cells.tolist()
    return found


def _roc_auc(true: HostArray, probabilities: HostArray, weights: HostArray | None) -> float | None:
    if len(np.unique(true)) < probabilities.shape[1]:
        return None
    of_classes = roc_auc if probabilities.shape[1] == 2 else roc_auc_ovr
    return of_classes(true, probabilities, weights)


def _compare_with_commonest(result: Result, name: str) -> None:
    """Add a note if the model is no better than always naming the most common class."""
    found = result.metrics
    if found["majority_accuracy"] < found["accuracy"] or found["accuracy"] == 1.0:
        return
    if result.config["class_weight"] and found["balanced_accuracy"] > 1.0 / len(found["classes"]):
        return  # the user gave rare classes more weight than accuracy does
    result.notes.append(
        f"the model is no better than always naming the commonest class, {name}: accuracy "
        f"{found['accuracy']:.4f} on the rows held out, that of the class {found['majority_accuracy']:.4f}"
    )


def of_values(true: HostArray, answers: HostArray, weights: HostArray | None = None) -> dict[str, float]:
    """``mse`` and ``mae`` in the targets' own units, and ``r2`` over all columns together."""
    mse = mean_squared_error(true, answers, weights)
    several = (len(true) if weights is None else np.count_nonzero(weights)) > 1
    return {
        "mse": mse,
        "mae": mean_absolute_error(true, answers, weights),
        "r2": r2(true, answers, weights) if several else float(mse == 0.0),
    }


def _scaled(
    scaling: Scaling, true: HostArray, answers: HostArray, weights: HostArray | None
) -> dict[str, float]:
    """Return the same errors in the unit of the loss."""
    errors = (
        np.asarray(answers, np.float64) - true
    ) / scaling.scale  # without a large mean, which float32 would round
    right = np.zeros_like(errors)
    return {
        "mse": mean_squared_error(right, errors, weights),
        "mae": mean_absolute_error(right, errors, weights),
    }


def _of_coding(
    result: Result,
    network: Network,
    data: Labelled,
    prepared: Preparation,
    rows: HostArray,
    weights: HostArray | None,
) -> None:
    """Measure an autoencoder block by block, because the data may be larger than memory."""
    counts = np.ones(len(rows)) if weights is None else weights
    squares = np.zeros(data.layout.features)
    for part in parts(len(rows), data.layout.features):
        error = prepared.predict(network, data.x, rows[part]) - data.x[rows[part]]
        error = error.reshape(len(error), -1)
        squares += counts[part] @ np.square(error, dtype=np.float64)
    mse = squares / counts.sum()
    _, deviation = moments(data.x, rows, weights)
    variance = float(np.square(deviation).mean())
    result.metrics |= {
        "mse": float(mse.mean()),
        "r2": 1.0 - float(mse.mean()) / variance if variance else float(not mse.any()),
        "scaled": {"mse": float((mse / np.square(prepared.inputs.scale.reshape(-1))).mean())},
    }
    if result.metrics["r2"] <= 0.0:
        result.notes.append(
            "the autoencoder gives the data back no better than the mean of each column would: its R² on the "
            f"rows held out is {result.metrics['r2']:.3g}"
        )
    if data.layout.image is not None and data.layout.image[2] == 1:
        shown = rows[:DRAWN]  # as pixels in [0, 1], whatever the scaling
        originals, decoded = data.x[shown] / BYTES, prepared.predict(network, data.x, shown) / BYTES
        result.arrays = {
            "originals": originals.reshape(len(shown), -1),
            "reconstructions": decoded.reshape(len(shown), -1),
            "image_shape": np.asarray(data.layout.image[:2]),
        }
