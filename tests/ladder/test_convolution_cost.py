"""The cost of a step with convolutions on the GPU, counted on the stand-in."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

RNG = np.random.default_rng(0)


def passes(layer: nnx.Layer, images: int = 6) -> tuple[list[str], list[str]]:
    """What the second forward and backward pass of a layer do."""
    network = nnx.Network([layer, nnx.ReLU()], device="gpu", seed=0).build((8, 8, 4))
    x = network.asarray(RNG.normal(size=(images, 8, 8, 4)))
    dy = network.asarray(RNG.normal(size=(images, *network.output_shape)))
    with cupy.recorded() as log:
        for _ in range(2):
            first = len(log)
            network.forward(x, training=True)
            middle = len(log)
            network.backward(dy, input_gradient=True)
    return [event.kind for event in log[first:middle]], [event.kind for event in log[middle:]]


@pytest.mark.parametrize(
    ("layer", "forward", "backward"),
    [
        (lambda: nnx.Conv2D(8, 3, padding="same"), 3, 5),
        (lambda: nnx.Conv2D(8, 1), 2, 3),
        (lambda: nnx.Conv2D(8, 3, groups=4), 2, 3),
        (lambda: nnx.Conv2D(8, 3, groups=2), 9, 17),
        (lambda: nnx.Conv2DTranspose(8, 3, strides=2), 3, 5),
    ],
    ids=["columns", "pointwise", "depthwise", "groups", "transposed"],
)
def test_passes_launch_a_few_kernels_and_do_nothing_else(layer, forward, backward):
    """No copies, no waits, no allocations."""
    assert passes(layer()) == (["launch"] * forward, ["launch"] * backward)
