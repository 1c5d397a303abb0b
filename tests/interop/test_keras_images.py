"""Layers on images and embeddings go to Keras and come back; options that nnx lacks are refused by name.

In float32 both programs round each number by 6e-8 of its size, in another order. Kernels here sum at most 100
products of numbers below 4, and networks have up to 11 layers; 1e-5 is enough for all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_networks import WHOLE, made, single
from support.keras_twins import outputs, with_notes

import nnx
from nnx.interop import keras as exchange

pytestmark = [
    pytest.mark.keras,
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # Keras of its own
]
SINGLE = single()
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def kinds(layers: Any) -> list[Any]:
    return [(type(layer), [kinds(branch) for branch in layer.branches]) for layer in layers]


@pytest.mark.parametrize("name", SINGLE)
def test_a_layer_goes_to_keras_and_comes_back(keras, rng, name: str):
    network, x = made(*SINGLE[name], rng)
    model = exchange.to_keras(network)
    np.testing.assert_allclose(outputs(model, x), network.predict(x), **CLOSE)
    back = exchange.from_keras(model)
    assert (type(back[0]), back[0].config()) == (type(network[0]), network[0].config())
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.parametrize("name", WHOLE)
def test_a_network_goes_to_keras_and_comes_back(keras, tmp_path: Path, rng, name: str):
    network, x = made(*WHOLE[name], rng)
    network.layers[0].trainable = False
    exchange.export(network, tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(model, x), network.predict(x), **CLOSE)
    for back in (exchange.from_keras(model), exchange.load(tmp_path / "model.keras")):
        assert kinds(back.layers) == kinds(network.layers)
        assert [layer.trainable for layer in back.layers] == [layer.trainable for layer in network.layers]
        np.testing.assert_array_equal(back.predict(x), network.predict(x))


def test_a_model_trained_by_keras_is_trained_further_by_the_same_steps(keras, rng):
    x = rng.standard_normal((32, 8, 8, 2)).astype(np.float32)
    y = rng.standard_normal((32, 3)).astype(np.float32)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)), layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3),
        ]
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    network = exchange.from_keras(model)
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)
    model.train_on_batch(x, y)
    network.fit(x, y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.05), batch_size=32)
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


IMAGE, SEQUENCE = (6, 7, 4), (9, 4)
READ: list[tuple[str, tuple[int, ...], dict[str, Any], list[str]]] = [
    ("Conv2D", IMAGE, {"filters": 3, "kernel_size": 2, "activation": "relu"}, ["Conv2D", "ReLU"]),
    ("Conv2DTranspose", IMAGE, {"filters": 3, "kernel_size": 2, "activation": "gelu"},
     ["Conv2DTranspose", "GELU"]),
    ("DepthwiseConv2D", IMAGE, {"kernel_size": (2, 3), "strides": 2, "depth_multiplier": 3}, ["Conv2D"]),
    ("DepthwiseConv2D", IMAGE, {"kernel_size": 3, "padding": "same", "dilation_rate": 2, "use_bias": False},
     ["Conv2D"]),
    ("DepthwiseConv1D", SEQUENCE, {"kernel_size": 3, "activation": "tanh"}, ["Conv1D", "Tanh"]),
    ("SeparableConv2D", IMAGE, {"filters": 5, "kernel_size": 3, "padding": "same", "depth_multiplier": 2,
                                "activation": "relu"}, ["Conv2D", "Conv2D", "ReLU"]),
    ("SeparableConv1D", SEQUENCE, {"filters": 5, "kernel_size": 3, "strides": 2, "use_bias": False},
     ["Conv1D", "Conv1D"]),
    ("MaxPooling2D", IMAGE, {"pool_size": 3, "strides": 2, "padding": "same"}, ["MaxPool2D"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "shape", "options", "layers"), READ, ids=lambda one: str(one))
def test_keras_s_own_options_are_followed(keras, tmp_path: Path, rng, kind, shape, options, layers):
    random = {} if "Pooling" in kind else {"bias_initializer": "random_normal"}
    layer = getattr(keras.layers, kind)(**options, **random)
    model = keras.Sequential([keras.Input(shape), layer])
    model.save(tmp_path / "model.keras")
    network = exchange.load(tmp_path / "model.keras")
    assert [type(one).__name__ for one in network.layers] == layers
    x = rng.standard_normal((5, *shape)).astype(np.float32)
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


def test_a_shortcut_around_convolutions_is_a_residual(keras, rng):
    layers = keras.layers
    x = keras.Input((8, 8, 3))
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    way = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(h))
    h = layers.ReLU()(layers.Add()([h, way]))
    h = layers.Concatenate()([layers.MaxPooling2D(2)(h), layers.Conv2D(2, 2, strides=2)(h)])
    model = keras.Model(x, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(h)))
    network = exchange.from_keras(model)
    assert [type(one).__name__ for one in network.layers] == [
        "Conv2D", "ReLU", "Residual", "ReLU", "Concatenate", "GlobalAveragePool2D", "Dense", "Softmax"
    ]  # fmt: skip
    data = rng.standard_normal((5, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(network.predict(data), outputs(model, data), **CLOSE)


def test_words_may_arrive_as_keras_s_default_type(keras, rng):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(9, 3), keras.layers.Flatten()])
    x = rng.integers(0, 9, (5, 4))
    np.testing.assert_array_equal(exchange.from_keras(model).predict(x), outputs(model, x.astype(np.float32)))


REFUSED: list[tuple[str, tuple[int, ...], dict[str, Any], str]] = [
    ("Conv1D", SEQUENCE, {"filters": 2, "kernel_size": 2, "padding": "causal"}, "padding is 'causal'"),
    ("Conv2DTranspose", IMAGE, {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1},
     "no output_padding"),
    ("UpSampling2D", IMAGE, {"interpolation": "bilinear"}, "interpolation is 'bilinear'"),
    ("GlobalAveragePooling2D", IMAGE, {"keepdims": True}, "keepdims"),
    ("Embedding", (4,), {"input_dim": 9, "output_dim": 2, "mask_zero": True}, "no masks"),
    ("ZeroPadding2D", IMAGE, {}, "nnx has no such layer"),
    ("Conv3D", (4, 4, 4, 2), {"filters": 2, "kernel_size": 2}, "nnx has no such layer"),
    ("MaxPooling2D", IMAGE, {"data_format": "channels_first"}, "data_format is channels_first"),
    ("Conv2D", IMAGE, {"filters": 2, "kernel_size": 2, "data_format": "channels_first"}, "channels_first"),
    ("SpatialDropout2D", IMAGE, {"rate": 0.1, "data_format": "channels_first"}, "channels_first"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "shape", "options", "text"), REFUSED, ids=lambda one: str(one))
def test_what_nnx_s_layers_lack_is_refused_by_name(keras, kind, shape, options, text):
    layer = getattr(keras.layers, kind)(**options, name="it")
    model = keras.Sequential([keras.Input(shape), layer])
    with pytest.raises(nnx.ConfigurationError, match=text) as caught:
        exchange.from_keras(model)
    assert f"layer it ({kind}): " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_training_uses_is_left_out(keras, rng):
    options = {"kernel_regularizer": "l2", "kernel_constraint": "max_norm", "activity_regularizer": "l1"}
    model = keras.Sequential([keras.Input(IMAGE), keras.layers.Conv2D(2, 3, **options)])
    x = rng.standard_normal((5, *IMAGE)).astype(np.float32)
    np.testing.assert_allclose(exchange.from_keras(model).predict(x), outputs(model, x), **CLOSE)


def test_a_bfloat16_convolution_keeps_its_policy(keras, rng, tmp_path: Path):
    layers = [nnx.Conv2D(4, 3), nnx.ReLU(), nnx.MaxPool2D(2), nnx.Flatten(), nnx.Dense(3)]
    network = nnx.Network(layers, precision="bfloat16", device="numpy", seed=0).build((8, 8, 2))
    exchange.export(network, tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    mixed = [one.name for one in model.layers if one.dtype_policy.name == "mixed_bfloat16"]
    assert mixed == ["conv2d_1", "dense_1"]
    back, said = with_notes(exchange.load, tmp_path / "model.keras", "numpy")
    assert (back.precision, said) == ("bfloat16", [])
    x = rng.standard_normal((5, 8, 8, 2)).astype(np.float32)
    np.testing.assert_array_equal(back.predict(x), network.predict(x))
    u = 2.0**-8  # Keras also rounds the sums and the bias, 3 times in each of 2 layers
    y = network.predict(x)
    np.testing.assert_allclose(outputs(model, x).astype(np.float32), y, atol=8 * u * np.abs(y).max())
