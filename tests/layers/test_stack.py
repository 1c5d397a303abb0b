"""A list of layers is checked, named and connected for a network."""

from __future__ import annotations

import numpy as np
import pytest
from support.addresses import lies_within
from support.small_networks import X, every_layer, host

import nnx

pytestmark = pytest.mark.usefixtures("device")


def test_widths_are_inferred_from_the_layer_before():
    network = nnx.Network([nnx.Dense(3, 5), nnx.BatchNorm(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)])
    assert [layer.inputs for layer in network.layers] == [3, 5, 5, 4, 4]
    assert [layer.outputs for layer in network.layers] == [5, 5, 4, 4, 2]
    assert network[2].W.shape == (5, 4)
    assert network[2].b.shape == (4,)
    assert (network.inputs, network.outputs, len(network)) == (3, 2, 5)


def test_layers_and_parameters_are_named_by_kind_and_order():
    network = every_layer()
    assert [layer.name for layer in network.layers] == [
        "dense_1", "batchnorm_1", "gelu_1", "dropout_1", "dense_2", "layernorm_1", "leakyrelu_1", "dense_3",
        "softmax_1",
    ]  # fmt: skip
    assert [name for name, _, _ in network.parameters()] == [
        "dense_1.W", "dense_1.b", "batchnorm_1.gamma", "batchnorm_1.beta", "dense_2.W", "dense_2.b",
        "layernorm_1.gamma", "layernorm_1.beta", "dense_3.W", "dense_3.b",
    ]  # fmt: skip


def test_a_layer_keeps_its_values_when_given_to_a_network():
    layer = nnx.Dense(3, 4, seed=9, activation="relu")
    alone, W = host(layer.forward(X)).copy(), host(layer.W).copy()
    network = nnx.Network([layer, nnx.Dense(2)], seed=0)
    np.testing.assert_array_equal(host(layer.W), W)
    assert lies_within(layer.W, network.arena.values)
    np.testing.assert_array_equal(network[:2].predict(X), alone)


def test_a_layer_belongs_to_one_network():
    layer = nnx.Dense(3, 4)
    network = nnx.Network([layer])
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network([layer])
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network(list(network.layers))
    other = nnx.ReLU()
    with pytest.raises(nnx.ConfigurationError, match="already belongs"):
        nnx.Network([nnx.Dense(3, 3), other, nnx.Dense(3), other])
    with pytest.raises(nnx.ConfigurationError, match="belongs to a network"):
        layer.build(3)


def test_layers_of_a_network_that_could_not_be_built_are_free():
    layer = nnx.Dense(3, 4, activation="relu")
    with pytest.raises(nnx.ConfigurationError, match="expects 5 inputs"):
        nnx.Network([layer, nnx.Dense(5, 2)])
    assert [type(part).__name__ for part in nnx.Network([layer, nnx.Dense(4, 2)]).layers] == [
        "Dense", "ReLU", "Dense",
    ]  # fmt: skip
