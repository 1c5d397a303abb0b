"""Dense layers: alone, with an activation in short form, and with their width from the data."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import X, host, same_bytes, train

import nnx

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "gelu", "silu", "softplus", "elu"])
def test_the_activation_shorthand_is_the_two_layers(name):
    short = nnx.Network([nnx.Dense(3, 4, activation=name), nnx.Dense(2)], seed=3)
    kinds = {type(layer).__name__.lower() for layer in short.layers}
    assert len(short) == 3
    assert name in kinds
    long = nnx.Network([nnx.Dense(3, 4), type(short[1])(), nnx.Dense(2)], seed=3)
    assert short.predict(X).tobytes() == long.predict(X).tobytes()
    train(short), train(long)
    same_bytes(short.weights(), long.weights())


def test_a_layer_works_alone():
    layer = nnx.Dense(3, 4, seed=0)
    y = layer.forward(X)
    W, b = host(layer.W), host(layer.b)
    np.testing.assert_allclose(host(y), X @ W + b, rtol=1e-5, atol=1e-6)
    dx = layer.backward(np.ones(y.shape, np.float32))
    np.testing.assert_allclose(host(dx), np.ones(y.shape) @ W.T, rtol=1e-5)
    np.testing.assert_allclose(host(layer.db), 12.0)
    assert layer.W.tobytes() == nnx.Dense(3, 4, seed=0).build().W.tobytes()


def test_a_layer_alone_applies_its_activation():
    layer = nnx.Dense(3, 4, activation="relu", seed=0)
    y = host(layer.forward(X))
    expected = np.maximum(X @ host(layer.W) + host(layer.b), 0.0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert (y == 0).any()


def test_a_layer_alone_infers_its_width():
    layer = nnx.Dense(4, seed=0)
    assert layer.forward(X).shape == (12, 4)
    assert layer.W.shape == (3, 4)
    with pytest.raises(nnx.ConfigurationError, match="number of inputs is not known"):
        nnx.Dense(4).build()
