"""Rescale: y = x · scale + offset in float64, rounded once, here and in exported files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from support.places import OLD

import nnx
from nnx.interop import keras as to_keras
from nnx.interop import onnx as to_onnx

MEAN, SIGMA = np.array([1e6, -3.0, 0.5]), np.array([1.0, 0.25, 9.0])


def rows(rng, count=64):
    return (rng.standard_normal((count, 3)) * SIGMA + MEAN).astype(np.float32)


def standardizing():
    return nnx.Rescale(1.0 / SIGMA, -MEAN / SIGMA)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3), (5, 2, 4, 3)])
def test_it_multiplies_and_adds_on_the_last_axis(rng, shape):
    x = rng.standard_normal(shape)
    layer = nnx.Rescale([2.0, -0.5, 0.0], 7.0)
    expected = x * np.array([2.0, -0.5, 0.0]) + 7.0
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-15)
    dx = layer.backward(np.ones(shape))
    np.testing.assert_allclose(dx, np.broadcast_to([2.0, -0.5, 0.0], shape))


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_a_large_mean_costs_no_digits(rng, device):
    """Each result is the exact one, rounded: in float32, x · scale + offset would be off by 0.03."""
    x = rows(rng)
    network = nnx.Network([standardizing()], device=device).build(3)
    exact = (x.astype(np.float64) - MEAN) / SIGMA
    np.testing.assert_allclose(network.predict(x), exact, rtol=1.5 * 2**-24, atol=1e-9)


def test_its_constants_are_not_trained_and_gradients_pass_through_it(rng):
    x, y = rows(rng), rng.standard_normal((64, 1)).astype(np.float32)
    layer = standardizing()
    network = nnx.Network([layer, nnx.Dense(3, 8), nnx.Tanh(), nnx.Dense(1), nnx.Rescale(3.0, 100.0)], seed=0)
    assert network.build(3).parameter_count() == 3 * 8 + 8 + 8 + 1
    history = network.fit(
        x, 3.0 * y + 100.0, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(0.01), epochs=20, batch_size=16
    )
    assert history["loss"][-1] < history["loss"][0]
    assert layer.config() == {"scale": (1.0 / SIGMA).tolist(), "offset": (-MEAN / SIGMA).tolist()}


def test_a_step_allocates_nothing_after_the_first_of_its_size(rng):
    layer = standardizing()
    layer.build(3)
    x = rows(rng)
    first = layer.forward(x, training=True)
    assert layer.forward(x[:7], training=True).base is first.base


def test_a_saved_network_has_the_same_constants_and_predicts_the_same_bytes(rng, tmp_path):
    network = nnx.Network([standardizing(), nnx.Dense(3, 2), nnx.Rescale(1 / 3, 1e9)], seed=0).build(3)
    network.save(tmp_path / "m.safetensors")
    loaded = nnx.load(tmp_path / "m.safetensors")
    assert loaded.layers[0].config() == network.layers[0].config()
    assert loaded.layers[2].config() == {"scale": 1 / 3, "offset": 1e9}
    x = rows(rng)
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))


def test_a_file_with_the_old_form_loads_and_predicts_the_same_bytes():
    """Version 0.1 read Keras's Normalization and Rescaling as batch normalizations that are not trained."""
    network = nnx.load(OLD / "frozen-batch-norm-0.1.safetensors", device="numpy")
    assert [type(layer).__name__ for layer in network.layers] == [
        "BatchNorm", "Dense", "Tanh", "Dense", "BatchNorm",
    ]  # fmt: skip
    assert not network.layers[0].trainable
    with np.load(OLD / "frozen-batch-norm-0.1.npz") as kept:
        np.testing.assert_array_equal(network.predict(kept["x"]), kept["y"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scale": float("nan")}, "scale must be a finite number"),
        ({"offset": [0.0, float("inf")]}, r"offset\[1\] must be a finite number"),
        ({"scale": []}, "scale is empty"),
        ({"scale": "2"}, "scale must be a finite number"),
        ({"scale": [[1.0, 2.0]]}, r"scale\[0\] must be a finite number"),
    ],
)
def test_what_is_no_constant_is_refused(options, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        nnx.Rescale(**options)


def test_constants_that_do_not_fit_the_features_are_refused():
    with pytest.raises(nnx.ConfigurationError, match="scale has 2 numbers, but there are 3 features"):
        nnx.Network([nnx.Rescale([1.0, 2.0])]).build(3)


def test_many_constants_are_not_all_printed():
    assert len(repr(nnx.Rescale(np.linspace(0, 1, 784), -0.5))) < 80


NETWORKS = {
    "near": lambda: [nnx.Rescale([0.5, 2.0, -1.0], 0.25), nnx.Dense(3, 4), nnx.Tanh(), nnx.Rescale(3.0)],
    "far": lambda: [standardizing(), nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(4, 2)],
    "far-inside": lambda: [nnx.ReLU(), standardizing(), nnx.Dense(3, 4), nnx.Tanh()],
}  # fmt: skip


def agree(theirs, ours):
    """Whether both are equal but for what rounding of float32 may do to numbers of about 1."""
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=2e-6 * max(1.0, float(np.abs(ours).max())))


@pytest.mark.parametrize("kind", NETWORKS)
def test_onnx_runtime_computes_the_same_and_the_file_gives_the_same_layers(rng, tmp_path, kind):
    pytest.importorskip("onnxruntime")
    network = nnx.Network(NETWORKS[kind](), seed=0).build(3)
    x = rows(rng) if kind != "near" else rng.standard_normal((64, 3)).astype(np.float32)
    path = tmp_path / "m.onnx"
    to_onnx.export(network, path)
    theirs, _ = to_onnx.compute(path, x)
    assert theirs.dtype == np.float32
    agree(theirs, network.predict(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a note that all became float64 would be one
        again = to_onnx.load(path)
    assert again.dtype == np.float32
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in network.layers]
    agree(again.predict(x), network.predict(x))


@pytest.mark.keras
@pytest.mark.parametrize("kind", NETWORKS)
def test_keras_computes_the_same_and_its_model_gives_the_same_layers(rng, kind):
    network = nnx.Network(NETWORKS[kind](), seed=0).build(3)
    x = rows(rng) if kind != "near" else rng.standard_normal((64, 3)).astype(np.float32)
    model = to_keras.to_keras(network)
    theirs = np.asarray(model(x))
    assert theirs.dtype == np.float32
    agree(theirs, network.predict(x))
    again = to_keras.from_keras(model)
    assert again.dtype == np.float32
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in network.layers]
    for ours, read in zip(network.layers, again.layers, strict=True):
        if isinstance(ours, nnx.Rescale):
            for name in ("scale", "offset"):  # Keras keeps the constants of a float32 layer in float64 too
                np.testing.assert_array_equal(getattr(read, name), getattr(ours, name))
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


@pytest.mark.keras
@pytest.mark.parametrize("invert", [False, True])
def test_keras_s_normalization_becomes_a_rescale(rng, invert):
    import keras

    layer = keras.layers.Normalization(mean=MEAN, variance=SIGMA**2, invert=invert)
    network = to_keras.from_keras(keras.Sequential([keras.Input((3,)), layer]))
    assert [type(layer) for layer in network.layers] == [nnx.Rescale]
    x = rng.standard_normal((64, 3)).astype(np.float32) if invert else rows(rng)
    exact = x * SIGMA + MEAN if invert else (x.astype(np.float64) - MEAN) / SIGMA
    # Keras rounds mean and variance to float32; all three means and deviations are exact in it
    np.testing.assert_allclose(network.predict(x), exact, rtol=2**-23, atol=1e-9)
