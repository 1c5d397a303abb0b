"""Whole models keep their names, shapes, float type and frozen layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.keras_twins import CLOSE, ROWS, WIDTH, outputs, with_notes
from support.small_networks import randomized

import nnx
from nnx.interop import keras as exchange

pytestmark = [
    pytest.mark.keras,
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # Keras of its own
]


def test_a_deep_network_a_slice_and_what_is_frozen(keras, rng):
    network = nnx.Network(
        [
            nnx.Dense(WIDTH, 7, activation="relu"),
            nnx.BatchNorm(),
            nnx.Dense(3),
            nnx.Dense(WIDTH, activation="sigmoid"),
        ],
        seed=0,
    )
    randomized(network, rng)[0].trainable = network[2].trainable = False
    x = rng.standard_normal((ROWS, WIDTH))
    model = exchange.to_keras(network)
    assert [layer.name for layer in model.layers] == [layer.name for layer in network.layers]
    assert [layer.trainable for layer in model.layers] == [layer.trainable for layer in network.layers]
    back = exchange.from_keras(model)
    assert [layer.trainable for layer in back.layers] == [layer.trainable for layer in network.layers]
    np.testing.assert_allclose(outputs(exchange.to_keras(network[:4]), x), network[:4].predict(x), **CLOSE)
    with pytest.raises(nnx.ConfigurationError, match="input width"):
        exchange.to_keras(nnx.Network([nnx.Dense(3)]))


def test_pictures_keep_their_shape_until_they_are_flattened(keras, rng, tmp_path: Path):
    layers = keras.layers
    stack = [
        layers.Rescaling(1 / 255),
        layers.Reshape((3, 2)),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(3),
    ]
    model = keras.Sequential([keras.Input((2, 3)), *stack])
    model.save(tmp_path / "model.keras")
    x = rng.uniform(0, 255, (ROWS, 2, 3)).astype(np.float32)
    network, said = with_notes(exchange.load, tmp_path / "model.keras")
    assert (network.input_shape, said) == ((2, 3), [])
    assert [type(layer).__name__ for layer in network.layers] == [
        "Rescale", "Reshape", "ReLU", "Flatten", "Dense"
    ]  # fmt: skip
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


def test_a_model_of_both_float_types_is_float64(keras, rng):
    layers = [keras.layers.Rescaling(1.0, -1e9, dtype="float64"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((WIDTH,), dtype="float64"), *layers])
    x = 1e9 + rng.standard_normal((ROWS, WIDTH))
    network, said = with_notes(exchange.from_keras, model)
    (text,) = said
    assert "float32 and float64" in text
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)
