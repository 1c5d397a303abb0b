"""The layers of functional models and of models within models are read in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.keras_twins import CLOSE, ROWS, WIDTH, outputs

from nnx.interop import keras as exchange

pytestmark = [
    pytest.mark.keras,
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # Keras of its own
]


def test_functional_models_and_models_within_models(keras, rng, tmp_path: Path):
    """An autoencoder as Keras's own guide builds it: an encoder and a decoder, called one after the other."""
    x = keras.Input((WIDTH,))
    encoder = keras.Model(x, keras.layers.Dense(2, activation="relu")(x), name="encoder")
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(WIDTH), keras.layers.Activation("sigmoid")], name="decoder"
    )
    model = keras.Model(x, decoder(keras.layers.Dropout(0.5)(encoder(x))), name="autoencoder")
    data = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    network = exchange.from_keras(model)
    assert [type(layer).__name__ for layer in network.layers] == [
        "Dense",
        "ReLU",
        "Dropout",
        "Dense",
        "Sigmoid",
    ]
    np.testing.assert_allclose(network.predict(data), outputs(model, data), **CLOSE)
    np.testing.assert_array_equal(exchange.from_keras(encoder).predict(data), network[:2].predict(data))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        exchange.load(tmp_path / "model.keras").predict(data), network.predict(data)
    )


def test_one_activation_called_twice(keras, rng, tmp_path: Path):
    relu, x = keras.layers.ReLU(), keras.Input((WIDTH,))
    model = keras.Model(x, relu(keras.layers.Dense(4)(relu(keras.layers.Dense(3)(x)))))
    model.save(tmp_path / "model.keras")
    data = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    network = exchange.load(tmp_path / "model.keras")
    assert [type(layer).__name__ for layer in network.layers] == ["Dense", "ReLU", "Dense", "ReLU"]
    np.testing.assert_allclose(network.predict(data), outputs(model, data), **CLOSE)
