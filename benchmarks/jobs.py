"""Define the jobs that every framework does: networks, losses, initial weights, and data in batch order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx.experiments.compare.jobs import describe, save_weights
from nnx.initializers import Normal

ACTIVATIONS = {"relu": nnx.ReLU, "sigmoid": nnx.Sigmoid, "tanh": nnx.Tanh, "softmax": nnx.Softmax}
LOSSES = {
    "binary_cross_entropy": nnx.BinaryCrossEntropy(),
    "categorical_cross_entropy": nnx.CategoricalCrossEntropy(),
    "squared_error": nnx.MeanSquaredError(),
    "squared_error_sum": nnx.MeanSquaredError(reduction="sum_over_features"),
}
INITIALIZERS = {"normal": Normal(1.0), "he_normal": "he_normal", "glorot_uniform": "glorot_uniform"}


@dataclass(frozen=True)
class Job:
    """What a worker does: a network, its data, and how to train it.

    Attributes
    ----------
    widths, activations : tuple
        The widths and activations of the dense layers.
    loss, optimizer, rate
        By the names in this file.
    batch, steps : int
        Rows in a batch; steps in a turn.
    target : {"x", "y", "labels"}
        What the network learns; "x" means its own input, as in an autoencoder.
    restart : bool
        Whether every turn starts from the initial weights; otherwise it continues from the last turn.
    check : int
        Steps of the first warm-up turn; their mean loss must agree closely. Later, float32 runs that differ
        only in rounding drift apart.
    shuffle : bool
        Whether nnx's `fit` shuffles; no other framework can use the same order.
    rows : int or None
        Rows of the data; None means as many as a turn needs.
    seed : int
        The seed of the initial weights; with it, the job must train from its first steps.
    """

    name: str
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    optimizer: str
    rate: float
    batch: int
    steps: int
    initial: str = "he_normal"
    target: str = "x"
    task: str = "turns"
    restart: bool = False
    check: int = 0
    shuffle: bool = False
    rows: int | None = None
    seed: int = 1

    def sized(self, steps: int | None, **changes: Any) -> Job:
        """Return a job with this number of steps in a turn, a warm-up that fits, and other changes."""
        steps = steps or self.steps
        check = min(steps, 200 if self.restart else 10)
        return replace(self, steps=steps, check=check, **changes)

    def network(self, device: str) -> nnx.Network:
        """Return the network with its initial weights."""
        layers: list[nnx.Layer] = []
        for inputs, units, activation in zip(self.widths, self.widths[1:], self.activations, strict=False):
            layers.append(nnx.Dense(inputs, units, initializer=INITIALIZERS[self.initial]))
            layers += [ACTIVATIONS[activation]()] if activation in ACTIVATIONS else []
        return nnx.Network(layers, device=device, seed=self.seed)

    def rule(self) -> nnx.Optimizer:
        """Return a new optimizer."""
        return nnx.Adam(self.rate) if self.optimizer == "adam" else nnx.SGD(self.rate)

    def operations(self) -> int:
        """Return the floating-point operations of a step's matrix products."""
        products = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return 2 * self.batch * (3 * sum(products) - products[0])


def mirrored(*widths: int) -> tuple[int, ...]:
    """Return an autoencoder's widths from those of its encoder."""
    return (*widths, *reversed(widths[:-1]))


DEEP = Job(
    "deep autoencoder",
    mirrored(784, 512, 256, 128, 64),
    ("relu", "relu", "relu", "linear", "relu", "relu", "relu", "sigmoid"),
    "binary_cross_entropy", "adam", 1e-3, batch=256, steps=40,
)  # fmt: skip
SHALLOW = Job(
    "shallow autoencoder",
    mirrored(784, 128, 64),
    ("relu", "linear", "relu", "sigmoid"),
    "squared_error_sum", "sgd", 0.05, batch=256, steps=50, initial="glorot_uniform",
    seed=4,  # with seed 1, the loss stays near 95 for two turns, while most seeds reach 55 or less
)  # fmt: skip
CLASSIFIER = Job(
    "classifier",
    (784, 256, 128, 10),
    ("relu", "relu", "softmax"),
    "categorical_cross_entropy", "adam", 1e-3, batch=128, steps=100, target="labels",
)  # fmt: skip
WIDE = Job(
    "wide autoencoder",
    (784, 2048, 2048, 2048, 784),
    ("relu", "relu", "relu", "linear"),
    "squared_error", "adam", 1e-4, batch=1024, steps=4,
)  # fmt: skip
XOR = Job(
    "xor",
    (2, 4, 1),
    ("tanh", "sigmoid"),
    "squared_error", "sgd", 0.1, batch=4, steps=5000, initial="normal", target="y", restart=True,
)  # fmt: skip
ENCODE = Job(
    "encode",
    (784, 512, 256, 128, 64),
    ("relu", "relu", "relu", "linear"),
    "squared_error", "adam", 1e-3, batch=1024, steps=1, task="encode", restart=True, rows=60_000,
)  # fmt: skip


def images(rows: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Return images and labels, and their source: MNIST if it is on this machine, otherwise noise."""
    from nnx import datasets
    from nnx.errors import NnxError

    try:
        data = datasets.load_mnist(download=False)
        x, y, whose = data.x_train, data.y_train.astype(np.int32), "MNIST"
    except NnxError:
        generator = np.random.default_rng(1)
        x = generator.random((min(rows, 60_000), 784), dtype=np.float32)
        y, whose = generator.integers(0, 10, len(x), dtype=np.int32), "noise, as there is no MNIST here"
    order = np.resize(np.arange(len(x)), rows)
    return x[order], y[order], whose


def train(job: Job, device: str, steps: int, epochs: int, *callbacks: nnx.Callback, **options: Any) -> None:
    """Train a job's network on noise by one `fit`, so many steps an epoch; `options` are more of `fit`."""
    generator = np.random.default_rng(1)
    x = generator.random((steps * job.batch, job.widths[0]), dtype=np.float32)
    y = generator.integers(0, 10, len(x)) if job.target == "labels" else x
    job.network(device).fit(x, y, loss=LOSSES[job.loss], optimizer=job.rule(), batch_size=job.batch,
                            epochs=epochs, callbacks=callbacks, **options)  # fmt: skip


def prepare(job: Job, folder: Path) -> tuple[dict[str, Any], str]:
    """Write data and initial weights into a folder; return the job as workers read it, and whose data."""
    generator = np.random.default_rng(job.seed)
    if job.name == "xor":
        xor = nnx.datasets.load_xor()
        x, y = xor.x_train, xor.y_train
        whose = "its four rows"
    else:
        x, y, whose = images(job.rows or job.batch * job.steps)
        if job.widths[0] != x.shape[1]:
            x, whose = generator.random((len(y), job.widths[0]), dtype=np.float32), "noise"
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    network = job.network("numpy")
    save_weights(folder, job.name, network)
    data = ("x", "x" if job.target == "x" else "y", "x")
    described = describe(job.name, network, LOSSES[job.loss], job.rule(), data, len(x), job.batch)
    more = {"task": job.task, "turn": job.steps, "check": job.check, "restart": job.restart,
            "shuffle": job.shuffle, "dtype": "float32", "predict_rows": job.batch}  # fmt: skip
    return described | more, whose
