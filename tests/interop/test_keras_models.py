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


# ------------------------------------------------------------------------------------------ bfloat16

MIXED = "mixed_bfloat16"
U = 2.0**-8  # rounding to bfloat16 changes a number by at most this share


def policies(model):
    return {layer.name: layer.dtype_policy.name for layer in model.layers}


@pytest.mark.parametrize("activation", [nnx.Identity, nnx.ReLU, nnx.Tanh, nnx.Sigmoid])
def test_keras_rounds_a_bfloat16_layer_three_times_more(keras, rng, activation):
    # Keras rounds x W, b and their sum to bfloat16 too; no activation here changes faster than its input
    layers = [nnx.Dense(40, 30), activation()]
    network = randomized(nnx.Network(layers, precision="bfloat16", device="numpy", seed=0), rng)
    x = rng.standard_normal((ROWS, 40)).astype(np.float32)
    model = exchange.to_keras(network)
    assert policies(model)["dense_1"] == MIXED
    W, b = network[0].W, network[0].b
    bare = nnx.Network([nnx.Dense(40, 30)], precision="bfloat16", device="numpy")
    bare.set_weights({"dense_1.W": W, "dense_1.b": np.zeros_like(b)})
    product = bare.predict(x)
    bound = U * (np.abs(product) + np.abs(b) + np.abs(product + b)) * (1 + 4 * U)
    difference = np.abs(outputs(model, x).astype(np.float32) - network.predict(x))
    assert (difference <= bound).all()
    assert difference.max() > 0.0


def test_a_bfloat16_network_goes_to_keras_and_comes_back(keras, rng, tmp_path: Path):
    layers = [
        nnx.Rescale(2.0, 0.1), nnx.Dense(WIDTH, 7), nnx.BatchNorm(), nnx.ReLU(), nnx.Residual([nnx.Dense(7)]),
        nnx.Dense(3), nnx.Softmax(),
    ]  # fmt: skip
    network = nnx.Network(layers, precision="bfloat16", device="numpy", seed=0).build(WIDTH)
    randomized(network, rng)
    exchange.export(network, tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert {type(one).__name__ for one in model.layers if one.dtype_policy.name == MIXED} == {"Dense"}
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert str(outputs(model, np.zeros((1, WIDTH), np.float32)).dtype) == "float32"  # that of the softmax
    back, said = with_notes(exchange.load, tmp_path / "model.keras", "numpy")
    assert (back.precision, said) == ("bfloat16", [])
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    assert (back.predict(x) == network.predict(x)).all()


def test_a_model_under_the_policy_is_a_bfloat16_network(keras, rng):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(MIXED)
    try:
        stack = [keras.layers.Dense(20, activation="relu"), keras.layers.LayerNormalization()]
        last = [keras.layers.Dense(3), keras.layers.Activation("softmax", dtype="float32")]
        model = keras.Sequential([keras.Input((WIDTH,)), *stack, *last])
    finally:
        keras.config.set_dtype_policy(before)
    network, said = with_notes(exchange.from_keras, model, "numpy")
    assert (network.precision, said) == ("bfloat16", [])
    assert set(policies(exchange.to_keras(network)).values()) == {MIXED, "float32"}
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    # of each layer 3 roundings, and the normalization and 20 weights near 0.4 pass 2 times as much on
    np.testing.assert_allclose(network.predict(x), outputs(model, x), atol=12 * U)


def test_dense_layers_of_two_policies_are_refused_by_name(keras):
    model = keras.Sequential(
        [
            keras.Input((WIDTH,)), keras.layers.Dense(3, dtype=MIXED, name="first"),
            keras.layers.Dense(3, dtype="float32", name="second"),
        ],
        name="two",
    )  # fmt: skip
    text = "the Dense layers of two have mixed_bfloat16 at first, float32 at second: give all"
    with pytest.raises(nnx.ConfigurationError, match=text):
        exchange.from_keras(model)
    pure = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(3, dtype="bfloat16", name="pure")])
    with pytest.raises(nnx.ConfigurationError, match="bfloat16 at pure"):
        exchange.from_keras(pure)


def test_float64_next_to_bfloat16_is_float64(keras):
    layers = [keras.layers.Rescaling(1.0, -1e9, dtype="float64"), keras.layers.Dense(3, dtype=MIXED)]
    model = keras.Sequential([keras.Input((WIDTH,), dtype="float64"), *layers])
    network, (text,) = with_notes(exchange.from_keras, model)
    assert network.precision == "float64"
    assert "mixed_bfloat16 and float64" in text
