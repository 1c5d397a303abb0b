"""What the workers of all frameworks share: a model that trains on rows by number, and the jobs it does.

A worker is a subclass of `Model` and a call of `main`. The jobs are ``steps`` (the loss of each of the first
steps) and ``train`` (all epochs, in parts, then predict). The benchmarks add more (``benchmarks/workers``).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nnx.experiments.compare.protocol import (
    Gate,
    HostArray,
    Job,
    Line,
    Store,
    batches,
    serve,
    steps_an_epoch,
)
from nnx.experiments.precision import stored_type

PREDICT_ROWS = 1024
CROSS_ENTROPIES = ("BinaryCrossEntropy", "CategoricalCrossEntropy")


class Model:
    """A job's network in one framework, with its loss and its optimizer.

    A subclass defines `__init__`, `restore`, `step` and `predict`, and `train` if its framework has a `fit`.

    Parameters
    ----------
    job : dict
    weights : list of (W, b)
        The initial weights.
    variant : str
        How the framework is used, such as ``"xla"``.

    Attributes
    ----------
    x, y : array
        All rows of the job, where the framework computes.
    dtype : str
        The type of weights and data.
    rounds : bool
        Whether products have bfloat16 factors.
    """

    x: Any
    y: Any

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        self.job, self.weights, self.variant = job, weights, variant
        self.dtype, self.rounds = stored_type(job["dtype"]), job["dtype"] == "bfloat16"
        # The fused form that starts from logits: nnx's `fit` uses it, and so do all others.
        self.logits = job["loss"]["kind"] in CROSS_ENTROPIES

    @classmethod
    def of(cls, store: Store, job: Job, variant: str) -> Model:
        """Return the model of a job with its data and initial weights."""
        model = cls(job, store.weights(job), variant)
        model.place(*store.data(job))
        model.restore()
        return model

    def place(self, x: HostArray, y: HostArray) -> None:
        """Put the data where the framework computes."""
        self.x, self.y = x, y

    def number(self, rows: HostArray) -> Any:
        """Put row numbers where the framework computes."""
        return rows

    def restore(self) -> None:
        """Set the initial weights, and start the optimizer afresh."""
        raise NotImplementedError

    def step(self, rows: Any) -> Any:
        """Train on these rows, or on all for None; return the loss, which need not be ready yet."""
        raise NotImplementedError

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Return the output of the network, or of so many of its first dense layers."""
        raise NotImplementedError

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """Train on one batch after the other; return their losses, which need not be ready yet."""
        return [self.step(one) for one in rows]

    def read(self, losses: list[Any]) -> list[float]:
        """Return losses as numbers; this waits for the device."""
        return [float(loss) for loss in losses]

    def numbered(self, epochs: int) -> list[Any]:
        """Return the argument of `step` for each step of so many epochs."""
        if self.job["batch_size"] == self.job["rows"]:
            return [None] * epochs
        return [self.number(rows) for rows in batches(self.job, epochs)]

    def train(self, gate: Gate) -> list[float]:
        """Train for all epochs, in parts; return the mean losses of the epochs to keep."""
        job, losses = self.job, list[Any]()
        rows = self.numbered(job["epochs"])
        gate.open()
        for begin, end in pairwise([0, *job["stops"]]):
            losses += self.run(rows[begin:end])
            self.read(losses[-1:])
            if not gate.stop():
                break
        return self.epoch_means(self.read(losses))

    def epoch_means(self, losses: list[float]) -> list[float]:
        """Return the mean over the rows of every epoch that is kept, from the losses of its batches."""
        job, count = self.job, steps_an_epoch(self.job)
        sizes = np.diff([*range(0, job["rows"], job["batch_size"]), job["rows"]])
        means = np.average(np.reshape(losses, (-1, count)), axis=1, weights=sizes)
        return [float(mean) for mean in means[:: job["keep"]]]


def rate(job: Job, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    schedule = job["optimizer"]["schedule"]
    if schedule["kind"] == "Constant":
        return float(schedule["learning_rate"])
    done = min(step / schedule["steps"], 1.0)
    return float(schedule["learning_rate"]) * 0.5 * (1.0 + math.cos(math.pi * done))


def main(kind: type[Model], about: dict[str, Any], **more: Any) -> None:
    """Serve the parent: ``python -m nnx.experiments.compare.workers.NAME FOLDER VARIANT``."""
    folder, variant = Path(sys.argv[1]), sys.argv[2]

    def steps(line: Line, store: Store, job: Job) -> dict[str, Any]:
        model, losses, seconds = kind.of(store, job, variant), [], []
        epochs = -(-job["steps"] // steps_an_epoch(job))
        for rows in islice(model.numbered(epochs), job["steps"]):
            began = time.perf_counter()
            losses += model.read([model.step(rows)])
            seconds.append(time.perf_counter() - began)
        times = {"first_seconds": seconds[0], "seconds": float(np.median(seconds[1:] or seconds))}
        return {"arrays": store.write(job["out"], losses=losses)} | times

    def train(line: Line, store: Store, job: Job) -> dict[str, Any]:
        model = kind.of(store, job, variant)
        arrays: dict[str, Any] = {"losses": model.train(Gate(line))}
        test = store.array(job["test"], job["dtype"])
        arrays["predictions"] = model.predict(test)
        if job["codes"]:
            arrays["codes"] = model.predict(store.array(job["x"], job["dtype"]), job["codes"])
            arrays["test_codes"] = model.predict(test, job["codes"])
        return {"arrays": store.write(job["out"], **arrays)}

    serve(folder, {"steps": steps, "train": train} | more, about, Line())
