"""Global pooling: one number for each channel of an image or a sequence."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import host

import nnx

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("shape", [(5, 2), (3, 4, 2), (20, 15, 2)])
def test_global_pooling(shape: tuple[int, ...]) -> None:
    rank, positions = len(shape) - 1, int(np.prod(shape[:-1]))
    x = np.random.default_rng(0).normal(size=(3, *shape))
    flat, dy = x.reshape(3, positions, 2), np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])
    for kind, expected in (("Average", flat.mean(axis=1)), ("Max", flat.max(axis=1))):
        layer = getattr(nnx, f"Global{kind}Pool{rank}D")().build(shape, dtype="float64")
        assert layer.output_shape == (2,)
        np.testing.assert_allclose(host(layer.forward(x)), expected, rtol=1e-12, atol=1e-14)
        dx = host(layer.backward(dy)).reshape(flat.shape)
        if kind == "Average":
            np.testing.assert_allclose(dx, np.broadcast_to(dy[:, None] / positions, dx.shape), rtol=1e-12)
        else:
            np.testing.assert_array_equal(dx, np.where(flat == expected[:, None], dy[:, None], 0.0))


def test_a_classifier_takes_images_of_any_size() -> None:
    """After global pooling, the number of features does not depend on the size of the image."""
    made = nnx.Network([nnx.Dense(4), nnx.ReLU(), nnx.GlobalAveragePool2D(), nnx.Dense(3)], seed=0)
    other = nnx.Network([nnx.Dense(4), nnx.ReLU(), nnx.GlobalAveragePool2D(), nnx.Dense(3)], seed=0)
    assert [v.shape for _, v, _ in made.build((8, 8, 2)).parameters()] == [
        v.shape for _, v, _ in other.build((5, 9, 2)).parameters()
    ]
