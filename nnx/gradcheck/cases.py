"""Define one or more gradient checks for every layer and loss of nnx, and for networks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from nnx.backends import Backend, resolve
from nnx.gradcheck.checks import check_layer, check_loss, check_network
from nnx.gradcheck.comparison import GradientReport
from nnx.layers import (
    GELU,
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Identity,
    Layer,
    LayerNorm,
    MaxPool2D,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SpatialDropout2D,
    Tanh,
    TiedDense,
    UpSample2D,
)
from nnx.layers import KINDS as LAYERS
from nnx.losses import KINDS as LOSSES
from nnx.losses import BinaryCrossEntropy, CategoricalCrossEntropy, Loss, MeanSquaredError
from nnx.network import Network

LABELS = np.array([2, 0, 3, 1, 2])


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


def _tied() -> list[Layer]:
    """Return layers of which some use the weights of others: one used twice, one in a container."""
    first, second = Dense(5), Dense(6)
    inner = Sequential([second, Tanh(), TiedDense(second), Sigmoid()])
    return [first, Tanh(), inner, TiedDense(first), Softplus(), Dense(5), TiedDense(first), Dense(4)]


def _convolutional(last: Layer) -> list[Layer]:
    """Return layers of images: pooling in a container, overlapping windows, groups, upsampling."""
    return [
        Dense(6, 72), Reshape((6, 6, 2)), Residual([Conv2D(2, 1), MaxPool2D(3, 1, "same")]),
        Conv2D(4, 3, padding="same", activation="relu"), MaxPool2D(3, 2, "same"), SpatialDropout2D(0.3),
        Conv2D(4, 2, groups=2), BatchNorm(), Tanh(), AveragePool2D(2, 1), UpSample2D(2),
        Conv2DTranspose(3, 2, activation="sigmoid"), GlobalAveragePool2D(), Dense(4), last,
    ]  # fmt: skip


def _of_layer(kind: type[Layer]) -> Iterator[Case]:
    """Yield the cases of a layer's record; those without options on rows of several axes too."""
    for one in kind.record.cases:
        make = partial(one.made, kind)
        if one.options:
            yield _layer(make, one.note, **one.options)
        else:
            yield from _shapes(make, one.note)


def _of_loss(kind: type[Loss]) -> Iterator[Case]:
    """Yield the cases of a loss's record; those without options on rows of several axes too."""
    for one in kind.record.cases:
        loss = one.made(kind)
        yield _loss(loss, one.note, **one.options)
        if not one.options:
            yield _loss(loss, f"{one.note} on rows of shape (2, 3, 4)".strip(), features=(2, 3, 4))


CASES: tuple[Case, ...] = (
    *chain.from_iterable(map(_of_layer, LAYERS)),
    *chain.from_iterable(map(_of_loss, LOSSES)),
    replace(_network("tied weights", _tied, MeanSquaredError()), subject=TiedDense),
    _network("deep network, mean squared error", lambda: _deep(Identity()), MeanSquaredError()),
    _network("containers in containers", _nested, MeanSquaredError()),
    _network(
        "deep network, sigmoid and binary cross-entropy", lambda: _deep(Sigmoid()), BinaryCrossEntropy()
    ),
    _network("the same, not fused", lambda: _deep(Sigmoid()), BinaryCrossEntropy(), fuse=False),
    _network("deep network, softmax and labels", lambda: _deep(Softmax()), CategoricalCrossEntropy(), True),
    _network(
        "layers of images, softmax and labels",
        lambda: _convolutional(Softmax()),
        CategoricalCrossEntropy(),
        True,
    ),
    _network(
        "the same with squared errors, not fused",
        lambda: _convolutional(Identity()),
        MeanSquaredError(),
        fuse=False,
    ),
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
