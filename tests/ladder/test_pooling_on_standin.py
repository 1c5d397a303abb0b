"""The cost of pooling on the GPU, counted on the stand-in: one launch each way, no copies, no allocations."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")

LAYERS = {
    "MaxPool2D": lambda: nnx.MaxPool2D(3, 2, "same"),
    "AveragePool2D": lambda: nnx.AveragePool2D(2),
    "GlobalMaxPool2D": lambda: nnx.GlobalMaxPool2D(),
    "GlobalAveragePool2D": lambda: nnx.GlobalAveragePool2D(),
    "SpatialDropout2D": lambda: nnx.SpatialDropout2D(0.5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_pass_is_one_launch(name: str) -> None:
    network = nnx.Network([LAYERS[name]()], device="gpu", seed=0).build((20, 20, 3))
    x = network.asarray(np.random.default_rng(0).normal(size=(5, 20, 20, 3)))
    dy = network.asarray(np.ones((5, *network.output_shape)))
    network.forward(x, training=True)
    network.backward(dy, input_gradient=True)
    key = name == "SpatialDropout2D"  # outside of fit, the key of a mask takes a small launch
    for run in (lambda: network.forward(x, training=True), lambda: network.backward(dy, input_gradient=True)):
        with cupy.recorded() as log:
            run()
        assert [event.kind for event in log] == ["launch"] * (1 + key)


def test_upsampling_copies_once_and_sums_once() -> None:
    network = nnx.Network([nnx.UpSample2D(2)], device="gpu").build((4, 4, 3))
    x, dy = (network.asarray(np.ones((5, size, size, 3))) for size in (4, 8))
    network.forward(x, training=True)
    network.backward(dy, input_gradient=True)
    with cupy.recorded() as log:
        network.forward(x, training=True)
        network.backward(dy, input_gradient=True)
    assert len(log) == 2
    assert {event.kind for event in log} <= {"launch", "copy"}
