"""The last layers for each loss."""

from __future__ import annotations

import pytest

import nnx
from nnx.network.endings import last_layers


@pytest.mark.parametrize(
    ("loss", "outputs", "right", "shape"),
    [
        (nnx.MeanSquaredError(), 2, "Dense", (2,)),
        (nnx.BinaryCrossEntropy(), 2, "Dense Sigmoid", (2,)),
        (nnx.Poisson(), 1, "Dense Exp", (1,)),
        (nnx.Hinge(), 3, "Dense", (3,)),
        (nnx.Pinball(), 2, "Dense", (2,)),
        (nnx.Pinball((0.1, 0.5, 0.9)), 1, "Dense Ascending", (3,)),
        (nnx.Pinball((0.1, 0.5, 0.9)), 2, "Dense Reshape Ascending", (2, 3)),
        (nnx.GaussianNLL(), 1, "Dense", (2,)),
        (nnx.GaussianNLL(), 4, "Dense Reshape", (4, 2)),
    ],
    ids=lambda value: repr(value) if isinstance(value, nnx.Loss) else "",
)
def test_last_layers(loss: nnx.Loss, outputs: int, right: str, shape: tuple[int, ...]) -> None:
    layers = last_layers(loss, outputs)
    assert " ".join(type(layer).__name__ for layer in layers) == right
    assert nnx.Network(layers).build(5).output_shape == shape
