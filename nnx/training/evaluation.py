"""Compute the loss and metrics of a network on data, without training it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.data.checking import check_samples
from nnx.data.samples import Samples
from nnx.distributed import ALONE, Communicator
from nnx.errors import ConfigurationError
from nnx.layers.base import walk
from nnx.layers.terms import names_of
from nnx.losses import Loss
from nnx.metrics.choice import Metrics, choose, direction, taken_for
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
    """Return the loss, its terms and metrics on checked samples; the ranks of a job share the rows.

    Raises
    ------
    ConfigurationError
        If a metric has the name of a term.
    """
    terms = dict.fromkeys(names_of(walk(network.layers)), 0.0)
    if taken_twice := [name for name, _ in metrics if name in terms]:
        raise ConfigurationError(
            f"the metric {taken_twice[0]!r} has the name of a term that a layer adds to the loss: give it "
            "another name, metrics={name: function}"
        )
    own = communicator.shard(len(samples))
    y_pred = np.zeros((len(samples) if metrics else 0, *network.output_shape), network.dtype)
    sums = np.zeros(2 + len(terms))  # of the weights, the loss, and its terms
    with network.backend.within_quota():
        for start in range(own.start, own.start + own.rows, EVALUATION_ROWS):
            segment = slice(start, min(start + EVALUATION_ROWS, own.start + own.rows))
            x, y, weights = samples.read(segment)
            value, predicted = network.score(x, y, loss, weights, output=bool(metrics), terms=terms)
            if predicted is not None:  # metrics are taken on all rows together
                y_pred[segment] = predicted
            counted = samples.weights
            share = float(len(x) if counted is None else counted[segment].sum(dtype=np.float64))
            if share:
                sums += share * np.array([1.0, value, *terms.values()])
    totals = communicator.sum(sums, "the validation")
    means = (totals[1:] / totals[0]).tolist()
    results = dict(zip(("loss", *terms), means, strict=True))
    if metrics:
        communicator.sum(y_pred, "the validation")
    y_true: Any = samples.targets() if metrics else None
    for name, metric in metrics:
        results[name] = taken_for(loss, name, metric, y_true, y_pred, samples.weights)
    return results
