"""Each layer of Keras, with its options, becomes layers of nnx that compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


ACTIVATIONS = (
    *("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "swish"),
    *("sigmoid", "tanh", "softplus", "softmax", "selu", "mish", "hard_sigmoid"),
)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_is_split_from_its_activation(keras, rng, name: str, dtype):
    model = keras.Sequential(
        [
            keras.Input((WIDTH,), dtype=dtype.name),
            keras.layers.Dense(4, activation=name, dtype=dtype.name, bias_initializer="random_normal"),
            keras.layers.Activation(name, dtype=dtype.name),
        ]
    )
    x = (3.0 * rng.standard_normal((ROWS, WIDTH))).astype(dtype)
    network = exchange.from_keras(model)
    assert type(network[0]) is nnx.Dense
    assert len(network) == (2 if name == "linear" else 3)
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("Dense", {"use_bias": False}),
    ("ReLU", {"negative_slope": 0.25}),
    ("Softmax", {"axis": 1}),
    ("BatchNormalization", {"scale": False, "axis": 1}),
    ("BatchNormalization", {"center": False}),
    ("LayerNormalization", {"scale": False, "center": False}),
    ("LayerNormalization", {"axis": [1]}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_options_of_keras_s_layers_are_followed(keras, rng, kind: str, options: dict[str, Any]):
    options = ({"units": 3} if kind == "Dense" else {}) | options
    model = keras.Sequential([keras.Input((WIDTH,)), getattr(keras.layers, kind)(**options)])
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(exchange.from_keras(model).predict(x), outputs(model, x), **CLOSE)


def test_an_activation_may_be_a_layer(keras, rng):
    slope = keras.layers.LeakyReLU(0.125)
    model = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(3, activation=slope)])
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    network = exchange.from_keras(model)
    assert network[1].config() == {"alpha": 0.125}
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


def test_what_acts_in_training_only_is_left_out_with_a_note(keras, rng, tmp_path: Path):
    layers = keras.layers
    stack = [layers.GaussianDropout(0.2), layers.AlphaDropout(0.3)]
    stack = [*stack, layers.Dense(3), layers.ActivityRegularization(0.01, 0.1)]
    model = keras.Sequential([keras.Input((WIDTH,)), *stack])
    model.save(tmp_path / "model.keras")
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    for network, said in (
        with_notes(exchange.from_keras, model),
        with_notes(exchange.load, tmp_path / "model.keras"),
    ):
        assert [type(layer).__name__ for layer in network.layers] == ["Dense"]
        assert [one.split(" (")[1].split(")")[0] for one in said] == [
            "GaussianDropout", "AlphaDropout", "ActivityRegularization"
        ]  # fmt: skip
        np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


CONSTANT: list[tuple[str, dict[str, Any]]] = [
    ("Rescaling", {"scale": 1 / 255, "offset": -0.5}),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0, 4.0, 5.0]}),
    ("Normalization", {"mean": [0.1, 0.2, 0.3, 0.4, 0.5], "variance": [1.0, 2.0, 3.0, 4.0, 5.0]}),
    ("Normalization", {"mean": 3.0, "variance": 2.0, "invert": True}),
    ("ReLU", {"max_value": 1.5}),
    ("ReLU", {"max_value": 1.5, "negative_slope": 0.25}),
    ("PReLU", {}),
    ("PReLU", {"alpha_initializer": "ones"}),
    ("PReLU", {"alpha_initializer": "random_normal"}),
    ("Reshape", {"target_shape": (-1,)}),
    ("Flatten", {}),
    *(("Activation", {"activation": name}) for name in (
        "relu6", "hard_tanh", "log_sigmoid"
    )),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), CONSTANT, ids=str)
def test_layers_that_nnx_s_layers_compute_together(keras, rng, tmp_path: Path, kind, options):
    stack = [getattr(keras.layers, kind)(**options), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((WIDTH,)), *stack])
    model.save(tmp_path / "model.keras")
    x = (3.0 * rng.standard_normal((ROWS, WIDTH))).astype(np.float32)
    network = exchange.load(tmp_path / "model.keras")
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)
    twice = network.forward(network.asarray(x), training=True)  # constants are constants in training too
    np.testing.assert_allclose(twice, outputs(model, x), **CLOSE)


def test_a_normalization_that_was_adapted(keras, rng):
    x = (100.0 + rng.standard_normal((ROWS, WIDTH))).astype(np.float32)
    layer = keras.layers.Normalization()
    layer.adapt(x)
    model = keras.Sequential([keras.Input((WIDTH,)), layer, keras.layers.Dense(3)])
    np.testing.assert_allclose(exchange.from_keras(model).predict(x), outputs(model, x), **CLOSE)


def test_a_frozen_mean_far_from_zero_is_subtracted_first(keras, rng, tmp_path: Path):
    """A scaling as a frozen layer: multiplied out in float32, 5 of its 7 digits would be lost."""
    network = randomized(nnx.Network([nnx.BatchNorm(), nnx.Dense(WIDTH, 3)]).build(WIDTH), rng)
    network.set_weights(network.weights() | {"batchnorm_1.running_mean": np.full(WIDTH, 1e5)})
    with pytest.warns(UserWarning, match="layer batchnorm_1: its means"):
        exchange.to_keras(network)
    network[0].trainable = False
    x = (1e5 + rng.standard_normal((ROWS, WIDTH))).astype(np.float32)
    np.testing.assert_allclose(outputs(exchange.to_keras(network), x), network.predict(x), **CLOSE)
    exchange.export(network, tmp_path / "model.keras")
    np.testing.assert_allclose(
        exchange.load(tmp_path / "model.keras").predict(x), network.predict(x), **CLOSE
    )
