"""The exchange of codes in the pretraining of the preset `best`, and what pretraining changes."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import host

import nnx
from nnx import gradcheck
from nnx.experiments.distortion import Affine
from nnx.experiments.pretraining import Pretraining, SwapHalves, pretrain

pytestmark = pytest.mark.usefixtures("device")


def test_the_exchange_is_its_own_inverse_and_rests_in_inference(rng):
    layer = SwapHalves(3).build(5, dtype="float64")
    x = rng.standard_normal((5, 5))
    np.testing.assert_array_equal(host(layer.forward(x)), x)
    once = host(layer.forward(x, training=True)).copy()
    np.testing.assert_array_equal(once[:2, :3], x[2:4, :3])
    np.testing.assert_array_equal(once[2:4, :3], x[:2, :3])
    np.testing.assert_array_equal(once[:, 3:], x[:, 3:])
    np.testing.assert_array_equal(once[4], x[4])  # the odd row out
    np.testing.assert_array_equal(host(layer.forward(once, training=True)), x)
    gradcheck.check(SwapHalves(3), inputs=5, rows=5).raise_if_failed()


def test_what_must_be_exchanged_cannot_be_nothing():
    with pytest.raises(nnx.ConfigurationError, match="shared must be positive"):
        SwapHalves(0)


def test_pretraining_changes_the_weights_and_not_the_layers():
    data = nnx.datasets.load_digits()
    network = nnx.Network(
        [
            nnx.Dense(64, 32),
            nnx.ReLU(),
            nnx.Dense(16),
            nnx.Dense(32),
            nnx.ReLU(),
            nnx.Dense(64),
            nnx.Sigmoid(),
        ],
        seed=0,
        device="cpu",
    )
    network.encoder_length = 3
    before, layers = network.weights(), network.layers
    how = Pretraining(epochs=3, batch_size=64, distortion=Affine(10, 0.1, 0.1, 0.5))
    history = pretrain(network, data.x_train, (8, 8), how, nnx.BinaryCrossEntropy(), nnx.Adam(1e-3))
    assert network.layers is layers
    assert history["loss"][-1] < history["loss"][0]
    assert all(not np.array_equal(before[name], value) for name, value in network.weights().items())
