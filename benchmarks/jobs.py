"""Define the jobs that every framework does: networks, losses, initial weights, and data in batch order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """What a worker does: a network, its data, and how to train it.

    Attributes
    ----------
    widths, activations : tuple
        The widths and activations of the dense layers.
    loss, optimizer, rate
        Their names, as the workers know them.
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
    task: str = "train"
    epsilon: float = 1e-12  # PyTorch adds it elsewhere, so at 1e-7 its losses would differ
    restart: bool = False
    check: int = 0
    shuffle: bool = False
    rows: int | None = None

    def sized(self, steps: int | None, **changes: Any) -> Job:
        """Return a job with this number of steps in a turn, a warm-up that fits, and other changes."""
        steps = steps or self.steps
        check = min(steps, 200 if self.restart else 10)
        return replace(self, steps=steps, check=check, **changes)

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
    "", "adam", 0.0, batch=1024, steps=1, task="predict", restart=True, rows=60_000,
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


def arrays(job: Job, seed: int = 1) -> tuple[Arrays, str]:
    """Return the data and initial weights of a job, and the source of the data."""
    generator = np.random.default_rng(seed)
    found: Arrays = {}
    if job.name == "xor":
        found["x"] = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        found["y"] = np.array([[0], [1], [1], [0]], np.float32)
        whose = "its four rows"
    else:
        found["x"], labels, whose = images(job.rows or job.batch * job.steps)
        if job.widths[0] != found["x"].shape[1]:
            found["x"], whose = generator.random((len(labels), job.widths[0]), dtype=np.float32), "noise"
        if job.target == "labels":
            found["y"] = labels
    for i, (inputs, units) in enumerate(zip(job.widths, job.widths[1:], strict=False)):
        if job.initial == "glorot_uniform":
            W = generator.uniform(-1, 1, (inputs, units)) * (6 / (inputs + units)) ** 0.5
        else:
            W = generator.standard_normal((inputs, units))
            W *= (2 / inputs) ** 0.5 if job.initial == "he_normal" else 1.0
        found[f"W{i}"] = W.astype(np.float32)
        found[f"b{i}"] = np.zeros(units, np.float32)
    return found, whose
