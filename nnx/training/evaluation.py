"""Compute the loss and metrics of a network on data, without training it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.data.checking import check_samples
from nnx.data.samples import Samples
from nnx.distributed import ALONE, Communicator
from nnx.losses import Loss
from nnx.metrics.choice import Metrics, choose, direction, taken
from nnx.metrics.formulas import Metric
from nnx.training.run import Run

EVALUATION_ROWS = 1024


@dataclass(frozen=True)
class Validation:
    """The validation data of `fit`, and the metrics to compute on them after each epoch."""

    samples: Samples
    metrics: list[tuple[str, Metric]]

    def record(self, run: Run, communicator: Communicator) -> None:
        """Evaluate the network and add ``val_loss`` and ``val_<metric>`` to the history."""
        results = measure(run.network, self.samples, run.loss, self.metrics, communicator)
        for name, result in results.items():
            run.history.metrics.setdefault(f"val_{name}", []).append(result)

    def directions(self) -> dict[str, str | None]:
        """Return for each value whether smaller (``"min"``) or larger (``"max"``) is better, or None."""
        found: dict[str, str | None] = {f"val_{name}": direction(metric) for name, metric in self.metrics}
        return {"val_loss": "min"} | found


def evaluate(
    network: Any, x: Any, y: Any, loss: Loss, metrics: Metrics = (), sample_weight: Any = None
) -> dict[str, float]:
    """Return the loss and metrics of a network on data; see `Network.evaluate`."""
    chosen = choose(metrics)
    return measure(network, check_samples(network, loss, x, y, sample_weight), loss, chosen)


def measure(
    network: Any,
    samples: Samples,
    loss: Loss,
    metrics: list[tuple[str, Metric]],
    communicator: Communicator = ALONE,
) -> dict[str, float]:
    """Return the loss and metrics on checked samples; the ranks of a job share the rows."""
    own = communicator.shard(len(samples))
    y_pred = np.zeros((len(samples) if metrics else 0, *network.output_shape), network.dtype)
    total, weight = 0.0, 0.0
    for start in range(own.start, own.start + own.rows, EVALUATION_ROWS):
        segment = slice(start, min(start + EVALUATION_ROWS, own.start + own.rows))
        x, y, weights = samples.read(segment)
        value, predicted = network.score(x, y, loss, weights, output=bool(metrics))
        if predicted is not None:  # metrics are taken on all rows together
            y_pred[segment] = predicted
        counted = samples.weights
        share = float(len(x) if counted is None else counted[segment].sum(dtype=np.float64))
        if share:
            total, weight = total + share * value, weight + share
    totals = communicator.sum(np.array([total, weight]), "the validation")
    results = {"loss": float(totals[0] / totals[1])}
    if metrics:
        communicator.sum(y_pred, "the validation")
    y_true: Any = samples.targets() if metrics else None
    for name, metric in metrics:
        results[name] = taken(name, metric, y_true, y_pred, samples.weights, loss.estimates)
    return results
