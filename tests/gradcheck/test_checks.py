"""A gradient check leaves what it is given unchanged, and refuses what it cannot check."""

from __future__ import annotations

import numpy as np
import pytest
from support.scaling import Scale

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError, DataError
from nnx.gradcheck import check, check_layer, check_loss, check_network

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_built_layer_is_checked_at_its_values_and_left_alone(backend: Backend) -> None:
    layer = nnx.Dense(3, 2, seed=5)
    layer.build(device=backend)
    before = backend.to_numpy(layer.block).copy()
    layer.dblock[...] = 7.0
    assert check_layer(layer).passed
    assert layer.arena.dtype == "float32"
    np.testing.assert_array_equal(backend.to_numpy(layer.block), before)
    assert (backend.to_numpy(layer.dblock) == 7.0).all()


def test_an_unbuilt_layer_stays_unbuilt() -> None:
    layer = nnx.Dense(3)
    assert check_layer(layer, 5).passed
    assert layer.arena is None
    assert layer.inputs is None


def test_a_network_is_left_alone(backend: Backend, rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(4, 3), nnx.BatchNorm(), Scale(2), nnx.Sigmoid()], device=backend, seed=1)
    weights = network.weights()
    x = rng.uniform(0.1, 0.9, (5, 4)).astype(np.float32)
    x_before = x.copy()
    report = check_network(network, x, x[:, :3], nnx.BinaryCrossEntropy(), sample_weight=[1, 2, 0, 1, 3])
    assert report.raise_if_failed().directions
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, weights[name])
    np.testing.assert_array_equal(x, x_before)


def test_an_autoencoder_whose_target_is_its_input(rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(3), nnx.Tanh(), nnx.Dense(4), nnx.Sigmoid()], seed=1)
    x = rng.uniform(0.1, 0.9, (5, 4))
    assert check_network(network, x, x, nnx.BinaryCrossEntropy()).passed
    assert network.inputs is None, "the network was built by its check"


def test_a_layer_of_a_network_and_a_slice(rng: np.random.Generator) -> None:
    network = nnx.Network([nnx.Dense(4, 3), nnx.Dropout(0.5), nnx.Dense(2), nnx.Sigmoid()], seed=1)
    assert all(check(layer).passed for layer in network.layers)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    assert check(network[1:3], x, y, nnx.MeanSquaredError()).passed


def test_a_lone_activation_under_its_own_loss(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((5, 3)), rng.uniform(0.1, 0.9, (5, 3))
    assert check_network(nnx.Network([nnx.Sigmoid()]), x, y, nnx.BinaryCrossEntropy()).passed


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a layer, a loss or a network"):
        check("relu")
    with pytest.raises(ConfigurationError, match="expects 3 inputs"):
        check_layer(nnx.Dense(3, 2), 4)
    layer = Scale()
    layer.generator = (number for number in range(3))
    with pytest.raises(ConfigurationError, match="cannot be copied"):
        check_layer(layer)
    with pytest.raises(DataError, match="targets of shape"):
        check_loss(nnx.MeanSquaredError(), y_true=np.ones((3, 2)), features=4)
