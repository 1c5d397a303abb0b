"""Define one or more gradient checks for every layer and loss of nnx, and for networks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnx.backends import Backend, resolve
from nnx.gradcheck.checks import check_layer, check_loss, check_network
from nnx.gradcheck.comparison import GradientReport
from nnx.layers import (
    ELU,
    GELU,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Rescale,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nnx.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)
from nnx.network import Network

LABELS = np.array([2, 0, 3, 1, 2])
POSITIONS = (LABELS[:, None] + np.arange(3)) % 4
EVERY_LOSS = (
    MeanSquaredError(), MeanSquaredError("sum_over_features"), MeanAbsoluteError(), Huber(0.1),
    BinaryCrossEntropy(), CategoricalCrossEntropy(),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One gradient check.

    Attributes
    ----------
    name : str
    subject : type
        The class that is checked.
    run : callable
        Takes a backend and returns the report.
    """

    name: str
    subject: type
    run: Callable[[Backend], GradientReport]

    def check(self, backend: Backend) -> GradientReport:
        """Run the check and return its report under the name of the case."""
        report = self.run(backend)
        return replace(report, name=self.name, message=self.name + report.message[len(report.name) :])


def _layer(make: Callable[[], Layer], note: str = "", **options: Any) -> Case:
    layer = make()
    name = f"{layer!r} {note}".strip()
    return Case(name, type(layer), lambda backend: check_layer(make(), device=backend, **options))


def _shapes(make: Callable[[], Layer], note: str = "") -> Iterator[Case]:
    """Yield cases of a layer on rows of features, and on rows with two and three axes."""
    yield _layer(make, note)
    for shape in ((3, 4), (2, 3, 4)):
        yield _layer(make, f"{note} on rows of shape {shape}".strip(), inputs=shape)


def _loss(loss: Loss, note: str = "", **options: Any) -> Case:
    name = f"{loss!r} {note}".strip()
    return Case(name, type(loss), lambda backend: check_loss(loss, device=backend, **options))


def _network(
    name: str, make: Callable[[], Sequence[Layer]], loss: Loss, labels: bool = False, fuse: bool = True
) -> Case:
    def run(backend: Backend) -> GradientReport:
        generator = np.random.default_rng(7)
        network = Network(make(), device=backend, dtype="float64", seed=3, fuse=fuse)
        x = generator.standard_normal((5, 6))
        y = LABELS if labels else generator.uniform(0.1, 0.9, (5, 4))
        return check_network(network, x, y, loss)

    return Case(name, Network, run)


def _deep(last: Layer) -> list[Layer]:
    """Return layers with many neighbours: fused and unfused activations, a norm between them, dropout."""
    return [
        Dense(6, 7), BatchNorm(), Tanh(), Dense(5), GELU(), Dropout(0.3), LayerNorm(),
        Dense(6), Softplus(), Dense(4), last,
    ]  # fmt: skip


def _nested() -> list[Layer]:
    """Return containers next to each other and in each other, with changes of shape between them."""
    inner = Concatenate([[], [Dense(3), ReLU()], [Reshape((2, 3)), Residual([Dense(3)]), Flatten()]])
    return [
        Residual([Residual([Dense(6), Tanh()]), Dropout(0.3), Dense(6)]), inner,
        Sequential([Dense(6), BatchNorm(), SiLU()]), Residual([Dense(4), Sigmoid()], Dense(4)),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (
    *_shapes(lambda: Dense(3)),
    _layer(lambda: Dense(1), "on one row", rows=1),
    *_shapes(lambda: Dense(3, activation="tanh"), "with tanh"),
    _layer(lambda: Dense(3, activation="gelu"), "with gelu"),
    *_shapes(Identity),
    *_shapes(ReLU),
    *_shapes(LeakyReLU),
    *_shapes(ELU),
    _layer(lambda: ELU(0.5)),
    *_shapes(GELU),
    _layer(lambda: GELU(approximate=True)),
    *_shapes(SiLU),
    *_shapes(Sigmoid),
    *_shapes(Tanh),
    *_shapes(Softplus),
    *_shapes(Softmax),
    *_shapes(lambda: Dropout(0.4)),
    _layer(lambda: Dropout(0.4), "in inference", training=False),
    *_shapes(BatchNorm),
    _layer(BatchNorm, "in inference", training=False),
    *_shapes(LayerNorm),
    *_shapes(lambda: Rescale(-2.5, 0.5)),
    *_shapes(lambda: Rescale([0.5, -3.0, 0.0, 2.0], [1e3, -1.0, 0.25, 0.0]), "for each feature"),
    *_shapes(Flatten),
    _layer(lambda: Reshape((2, -1)), "on rows of shape (3, 4)", inputs=(3, 4)),
    *_shapes(lambda: Sequential([Dense(5), Tanh(), Dense(3)])),
    *_shapes(lambda: Residual([LayerNorm(), Dense(5), GELU(), Dense(4)])),
    *_shapes(lambda: Residual([Dense(5), Tanh()], projection=Dense(5))),
    *_shapes(lambda: Concatenate([[Dense(3), Tanh()], [], [BatchNorm(), Dropout(0.3), Dense(2)]])),
    *(_loss(loss, "on rows of shape (2, 3, 4)", features=(2, 3, 4)) for loss in EVERY_LOSS),
    _loss(MeanSquaredError()),
    _loss(MeanSquaredError("sum_over_features")),
    _loss(MeanAbsoluteError()),
    _loss(Huber(), "in its parabola"),
    _loss(Huber(0.1), "in its straight parts"),
    _loss(BinaryCrossEntropy()),
    _loss(CategoricalCrossEntropy()),
    _loss(CategoricalCrossEntropy(), "on labels", y_true=LABELS),
    _loss(CategoricalCrossEntropy(), "on labels of positions", features=(3, 4), y_true=POSITIONS),
    _network("deep network, mean squared error", lambda: _deep(Identity()), MeanSquaredError()),
    _network("containers in containers", _nested, MeanSquaredError()),
    _network(
        "deep network, sigmoid and binary cross-entropy", lambda: _deep(Sigmoid()), BinaryCrossEntropy()
    ),
    _network("the same, not fused", lambda: _deep(Sigmoid()), BinaryCrossEntropy(), fuse=False),
    _network("deep network, softmax and labels", lambda: _deep(Softmax()), CategoricalCrossEntropy(), True),
)


def registered() -> set[type]:
    """Return the classes that have a case."""
    return {case.subject for case in CASES}


def run_all(device: str | Backend | None = None) -> list[GradientReport]:
    """Check every layer and loss, and networks of them, on a device.

    Raises
    ------
    DeviceError
        If the device cannot be used.
    """
    backend = resolve(device)
    return [case.check(backend) for case in CASES]
