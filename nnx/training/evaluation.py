"""The loss and metrics of a network on data that it is not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.backends import Backend
from nnx.distributed import ALONE, Communicator
from nnx.losses import Loss
from nnx.metrics import Metric
from nnx.metrics import get as get_metric
from nnx.samples import Samples, check_samples

EVALUATION_ROWS = 1024


def evaluate(
    network: Any, x: Any, y: Any, loss: Loss, metrics: Sequence[str | Metric] = (), sample_weight: Any = None
) -> dict[str, float]:
    """The loss and metrics of a network on data; see `Network.evaluate`."""
    samples = check_samples(network, loss, x, y, sample_weight)
    return measure(network, samples, loss, [get_metric(metric) for metric in metrics])


def measure(
    network: Any,
    samples: Samples,
    loss: Loss,
    metrics: list[tuple[str, Metric]],
    communicator: Communicator = ALONE,
) -> dict[str, float]:
    """As `evaluate`, on samples that are checked; with other ranks, each its rows."""
    own = communicator.part(len(samples))
    y_pred = np.zeros((len(samples) if metrics else 0, network.outputs), network.dtype)
    backend: Backend = network.arena.backend
    total, weight = 0.0, 0.0
    for start in range(own.start, own.start + own.rows, EVALUATION_ROWS):
        part = slice(start, min(start + EVALUATION_ROWS, own.start + own.rows))
        x, y = samples.read(part)
        predicted = network.predict(x)
        if metrics:  # which are taken on all rows together
            y_pred[part] = predicted
        weights = None if samples.weights is None else samples.weights[part]
        share = float(len(predicted) if weights is None else weights.sum())
        if share:
            value = loss(
                backend.asarray(y),
                backend.asarray(predicted),
                None if weights is None else backend.asarray(weights),
            )
            total, weight = total + share * float(value), weight + share
    totals = communicator.sum(np.array([total, weight]), "the validation")
    results = {"loss": float(totals[0] / totals[1])}
    if metrics and communicator.size > 1:
        communicator.sum(y_pred, "the validation")
    for name, metric in metrics:
        results[name] = float(metric(np.asarray(samples.y), y_pred))
    return results
