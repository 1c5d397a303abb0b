"""The network and the training of the estimators for tables: layers, learning rates, and the best epoch.

The recipe takes its parts from two papers. Robust scaling (`nnx.tables`), a trained scale of the features
with a larger learning rate, parameter groups, label smoothing and a falling learning rate are from RealMLP;
embeddings of numbers and the packed members are from TabM.

References
----------
Holzmüller, Grinsztajn and Steinwart (2024), Better by default: strong pre-tuned MLPs and boosted trees on
tabular data, section 3. Gorishniy, Kotelnikov and Babenko (2025), TabM: advancing tabular deep learning with
parameter-efficient ensembling, section 3. Gorishniy, Rubachev and Babenko (2022), On embeddings for numerical
features in tabular deep learning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import nnx
from nnx.data.rows import HostArray
from nnx.errors import DataError
from nnx.layers.activations import make

EMBEDDINGS = ("piecewise_linear", "periodic", "none")
BINS = 32  # of a piecewise linear embedding, if a column has so many different numbers
FREQUENCIES = 16
SIGMA = 0.1  # of the first frequencies; numbers are scaled to about ±1
SCALE_RATE = 6.0  # times the learning rate, for the scales of the features, as RealMLP has it
STEPS = 3000  # epochs="auto" takes about so many steps,
FEWEST, MOST = 24, 200  # and between so many epochs
BATCH = 256  # batch_size="auto"


def edges_of(numbers: HostArray, bins: int = BINS) -> list[list[float]]:
    """Return for each column the edges of at most `bins` bins.

    They are the quantiles of the rows, each once. If many rows have the same number, fewer are left; then
    some of the different numbers are added, so that rare numbers have bins too. A column with one number v
    gets the edges v and v + 1.
    """
    found = []
    for column in numbers.T.astype(np.float64):
        edges = np.unique(np.quantile(column, np.linspace(0.0, 1.0, bins + 1)))
        if missing := bins + 1 - len(edges):
            values = np.unique(column)
            levels = np.linspace(0.0, 1.0, missing + 2)[1:-1]
            edges = np.union1d(edges, np.quantile(values, levels, method="inverted_cdf"))
        # closer than the rounding of float32, they would give slopes without meaning
        edges = edges[np.concatenate([[True], np.diff(edges) > 1e-5])]
        found.append(edges.tolist() if len(edges) > 1 else [float(edges[0]), float(edges[0]) + 1.0])
    return found


def embedding_layers(
    numbers: HostArray, cardinalities: Sequence[int], kind: str, units: int
) -> list[nnx.Layer]:
    """Return the first layers, for rows of `numbers` followed by the codes of categories.

    Parameters
    ----------
    numbers : array of shape (rows, columns)
        The scaled numbers of the rows to train on; they decide the edges of the bins.
    cardinalities : sequence of int
        The number of codes of each column of categories.
    kind : {"piecewise_linear", "periodic", "none"}
    units : int
        Length of a number's and of a category's vector.
    """
    count = numbers.shape[1]
    branches: list[list[nnx.Layer]] = []
    if count:
        embedded: list[nnx.Layer] = []
        if kind == "piecewise_linear":
            embedded = [nnx.PiecewiseLinearEmbedding(edges_of(numbers), units)]
        elif kind == "periodic":
            embedded = [nnx.PeriodicEmbedding(FREQUENCIES, units, SIGMA), nnx.ReLU()]
        branches.append([*([nnx.Columns(0, count)] if cardinalities else []), *embedded])
    if cardinalities:
        taken = [nnx.Columns(count, count + len(cardinalities))] if count else []
        branches.append([*taken, nnx.CategoryEmbedding(list(cardinalities), units)])
    return branches[0] if len(branches) == 1 else [nnx.Concatenate(branches)]


def member_layers(
    widths: Sequence[int], outputs: int, last: Sequence[nnx.Layer], *, members: int, activation: str,
    dropout: float, embedded: bool,
) -> list[nnx.Layer]:  # fmt: skip
    """Return the layers after the embeddings: scale, members, shared dense layers, and separate outputs."""
    layers: list[nnx.Layer] = [nnx.FeatureScale(), nnx.Members(members, "normal" if embedded else "signs")]
    for width in widths:
        layers += [
            nnx.Dense(width, initializer="lecun_normal" if activation == "selu" else "he_normal"),
            make(activation),
        ]
        if dropout:
            layers.append(nnx.Dropout(dropout))
    return [*layers, nnx.MemberDense(outputs), *last]


def optimizer_of(
    network: nnx.Network, learning_rate: float, weight_decay: float, steps: int
) -> nnx.Optimizer:
    """Return AdamW with the learning rates of the parameter groups; all fall to 0 as a cosine.

    The scales of features learn `SCALE_RATE` times as fast. Only the weights of shared dense layers decay.
    """

    def rate(factor: float) -> nnx.Schedule:
        return nnx.Warmup(nnx.Cosine(factor * learning_rate, steps), max(1, steps // 50))

    groups: dict[str, dict[str, Any]] = {
        "*.s": {"learning_rate": rate(SCALE_RATE), "weight_decay": 0.0},
        "*.R": {"weight_decay": 0.0},
        "memberdense_*": {"weight_decay": 0.0},
        "*embedding_*": {"weight_decay": 0.0},
        "*.b": {"weight_decay": 0.0},
    }
    names = [name for name, _, _ in network.parameters()]
    if not any("embedding_" in name for name in names):
        del groups["*embedding_*"]
    if not any(name.endswith(".b") and name.startswith("dense_") for name in names):
        del groups["*.b"]
    return nnx.AdamW(rate(1.0), beta2=0.95, weight_decay=weight_decay, groups=groups)


def epochs_for(rows: int, batch_size: int) -> int:
    """Return how many epochs ``epochs="auto"`` takes: about `STEPS` steps."""
    batches = max(1, math.ceil(rows / batch_size))
    return min(MOST, max(FEWEST, round(STEPS / batches)))


def center_and_scale(targets: HostArray, weights: HostArray | None) -> tuple[HostArray, HostArray]:
    """Return the mean and the deviation of each column; the deviation of a constant column is 1.

    Differences are divided by the largest before they are squared, so that squares of very large numbers do
    not overflow, and those of very small ones do not become 0.

    Raises
    ------
    DataError
        If the range of the targets is beyond float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        center = np.average(targets, axis=0, weights=weights)
        errors = targets - center
        largest = np.abs(errors).max(axis=0)
    if not np.isfinite(largest).all():
        raise DataError("y holds numbers that are too large to scale: divide them by a constant")
    unit = np.where(largest > 0.0, largest, 1.0)
    spread = unit * np.sqrt(np.average(np.square(errors / unit), axis=0, weights=weights))
    return center, np.where(spread > 0.0, spread, 1.0)


def target_columns(labels: HostArray, classes: int) -> HostArray:
    """Return one column of 0 and 1 for two classes, else a column for each class."""
    if classes == 2:
        return labels.reshape(-1, 1).astype(np.float32)
    return np.eye(classes, dtype=np.float32)[labels]


def smoothed(targets: HostArray, smoothing: float) -> HostArray:
    """Return (1 − ε) y + ε / classes; one column of 0 and 1 counts as two classes.

    Source: Szegedy et al. (2016), Rethinking the Inception architecture for computer vision, section 7.
    """
    classes = max(2, targets.shape[1])
    found: HostArray = (1.0 - smoothing) * targets + smoothing / classes
    return found


def repeated(targets: HostArray, members: int) -> HostArray:
    """Return targets of shape (rows, members, outputs), the same for all members."""
    return np.repeat(targets[:, None, :], members, axis=1)


def ensemble_error(y_true: HostArray, y_pred: HostArray, sample_weight: HostArray | None = None) -> float:
    """Return the squared error of the members' mean; for probabilities it is the Brier score.

    It decides which epoch is the best. Both arrays have the shape (rows, members, outputs).
    """
    mean = y_pred.mean(axis=1, dtype=np.float64)
    errors = np.square(mean - y_true[:, 0]).sum(axis=1)
    return float(np.average(errors, weights=sample_weight))
