"""Networks to the real Keras and back: same values and outputs, or an error that says why not.

Outputs agree to 1e-6: in float32 both round every operation by 1e-7, and in float64 Keras holds some
constants in float32 (slopes, GELU's √2).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_networks import TRIED
from support.keras_twins import CLOSE, ROWS, WIDTH, outputs, saved
from support.small_networks import IN_TRAINING, LAYERS, randomized

import nnx
from nnx.interop import keras as exchange

pytestmark = [
    pytest.mark.keras,
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # Keras of its own
]


def test_every_layer_is_tried():
    public = {getattr(nnx, name) for name in nnx.__all__}
    public = {one for one in public if isinstance(one, type) and issubclass(one, nnx.Layer)} - {nnx.Layer}
    elsewhere = {nnx.Flatten, nnx.Reshape, nnx.Sequential, nnx.Residual, nnx.Concatenate}
    elsewhere |= {nnx.Contractive, nnx.TiedDense}  # by test_tied.py
    elsewhere |= {one for one in public if isinstance(one.record.keras, str)}  # refused, for this reason
    # TRIED is by test_keras_images.py and test_interop_shapes.py
    tried = {type(layer) for layer in (*LAYERS, *IN_TRAINING)} | TRIED
    assert tried | elsewhere == public | elsewhere


@pytest.mark.parametrize("layer", IN_TRAINING, ids=repr)
def test_a_layer_that_only_changes_training_is_written(keras, rng, layer: nnx.Layer):
    twin = type(layer)(**layer.config())
    network = nnx.Network([nnx.Dense(4), twin, nnx.Dense(3)], seed=0).build(WIDTH)
    model = exchange.to_keras(network)
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(outputs(model, x), network.predict(x), **CLOSE)
    back = exchange.from_keras(model)
    theirs = type(twin).record.keras.name
    assert type(back[1]) is (nnx.Identity if theirs == "Identity" else type(twin))
    assert theirs == "Identity" or back[1].config() == twin.config()


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_a_layer_goes_to_keras_and_comes_back(keras, rng, tmp_path: Path, layer: nnx.Layer, dtype):
    twin = type(layer)(**layer.config())
    network = randomized(nnx.Network([twin], dtype=dtype).build(WIDTH), rng)
    x = (3.0 * rng.standard_normal((ROWS, WIDTH))).astype(dtype)
    model = exchange.to_keras(network)
    assert outputs(model, x).dtype == dtype
    np.testing.assert_allclose(outputs(model, x), network.predict(x), **CLOSE)
    back = exchange.from_keras(model)
    exchange.export(network, tmp_path / "model.keras")
    for other in (back, exchange.load(tmp_path / "model.keras")):
        assert (other.dtype, len(other)) == (network.dtype, 1)
        if (type(twin), getattr(twin, "alpha", 1.0)) != (nnx.LeakyReLU, 0.0):  # slope 0 comes back so too
            assert type(other[0]) is type(twin)
        assert other[0].config() == twin.config()
        for name, value in network.weights().items():
            np.testing.assert_array_equal(other.weights()[name], value)
        np.testing.assert_array_equal(other.predict(x), network.predict(x))


def test_a_network_trained_by_keras_can_be_trained_further_in_nnx(keras, rng):
    """Running statistics that Keras gathered, and one more step of both by the same gradients."""
    x, y = rng.standard_normal((64, WIDTH)), rng.standard_normal((64, 2))
    model = keras.Sequential(
        [
            keras.Input((WIDTH,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.BatchNormalization(momentum=0.75),
            keras.layers.Dense(2),
        ]
    )
    for policy in (model, *model.layers):
        assert policy.dtype_policy.name == "float32"
    model.compile(keras.optimizers.SGD(0.125), "mse")
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    network = exchange.from_keras(model)
    np.testing.assert_allclose(network.predict(x), outputs(model, x.astype(np.float32)), **CLOSE)
    model.train_on_batch(x, y)
    network.fit(x, y, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.125), batch_size=64)
    np.testing.assert_allclose(network.predict(x), outputs(model, x.astype(np.float32)), rtol=0, atol=1e-5)


# --------------------------------------------------------------------------- what does not go over


class Own(nnx.Dense):
    """A layer with passes of its own: what it computes, no layer of Keras does."""


def test_a_layer_of_one_s_own_is_named():
    with pytest.raises(nnx.ConfigurationError, match=r"layer 1, own_1\(4, 2\): Keras has no such layer"):
        exchange.to_keras(nnx.Network([nnx.Dense(5, 4), Own(4, 2)]))


def unsupported(keras: Any) -> list[tuple[str, Any]]:
    layers = keras.layers
    x = keras.Input((WIDTH,))
    h = layers.Dense(WIDTH, name="first")(x)

    class Mine(keras.Model):
        def call(self, inputs):
            return inputs

    def sequential(*stack: Any) -> Any:
        return keras.Sequential([keras.Input((WIDTH,)), *stack], name="outer")

    unit = layers.UnitNormalization(name="u")
    shared = layers.Dense(WIDTH, name="shared")
    return [
        ("layer inner/u .UnitNormalization.: nnx has no such layer",
         sequential(keras.Sequential([keras.Input((WIDTH,)), unit], name="inner"))),
        ("layer d .Dense.: nnx has no log_softmax",
         sequential(layers.Dense(2, "log_softmax", name="d"))),
        ("layer l .Lambda.: nnx has no such layer", sequential(layers.Lambda(lambda v: v * 2, name="l"))),
        ("layer d .Dense.: nnx has no activation 'softsign'",
         sequential(layers.Dense(2, "softsign", name="d"))),
        ("nnx's ReLU has no threshold", sequential(layers.ReLU(threshold=1.0))),
        ("no noise_shape", sequential(layers.Dropout(0.5, noise_shape=(1, WIDTH)))),
        ("rate must lie in", sequential(layers.Dropout(1.0, name="all"))),
        ("is not a chain of layers: m .Multiply. takes several inputs; nnx can read Add and Concatenate",
         keras.Model(x, layers.Multiply(name="m")([layers.ReLU()(h), layers.Dense(WIDTH)(h)]))),
        ("c .Add. joins data and constants", keras.Model(x, layers.Add(name="c")([h, np.ones((1, WIDTH))]))),
        ("layer shared .*twice",
         keras.Model(x, shared(shared(x)))),
        (r"takes \[\(None, 5\), \(None, 2\)\]", keras.Model([x, keras.Input((2,))], h)),
        ("has 2 outputs", keras.Model(x, [h, layers.ReLU()(h)])),
        ("called with training=True", keras.Model(x, layers.Dropout(0.5)(x, training=True))),
        ("a model of class Mine", Mine()),
        (r"start .* keras.Input\(", keras.Sequential([layers.Dense(3)])),
        (r"layer scale_each .Rescaling.: its constants have the shape \(2, 1\)",
         keras.Sequential([keras.Input((2, 5)), layers.Rescaling([[1.0], [2.0]], name="scale_each")])),
        (r"layer n .LayerNormalization.: .* last axis, not on",
         keras.Sequential([keras.Input((2, 5)), layers.LayerNormalization(axis=1, name="n")])),
        (r"layer n .BatchNormalization.: .* not on axis 1",
         keras.Sequential([keras.Input((2, 5)), layers.BatchNormalization(axis=1, name="n")])),
        (r"layer flatten\w* .Flatten.: .*channels",
         keras.Sequential([keras.Input((2, 5)), layers.Flatten(data_format="channels_first")])),
        (r"takes \(None, None\)", keras.Sequential([keras.Input((None,)), layers.ReLU()])),
        ("mixed_float16 at half", sequential(layers.Dense(3, dtype="mixed_float16", name="half"))),
        ("Keras model, not Dense", layers.Dense(3)),
    ]  # fmt: skip


def test_what_nnx_lacks_is_named_with_its_place(keras):
    for text, model in unsupported(keras):
        with pytest.raises(nnx.ConfigurationError, match=text) as caught:
            exchange.from_keras(model)
        assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------ files


def test_a_file_appears_whole_or_not_at_all(keras, tmp_path: Path):
    path = saved(tmp_path / "model.keras")
    before = path.read_bytes()
    with pytest.raises(nnx.ConfigurationError, match="Keras has no such layer"):
        exchange.export(nnx.Network([Own(5, 4)]), path)
    assert path.read_bytes() == before
    network = nnx.Network([nnx.Dense(5, 4)])
    with pytest.raises(nnx.OutputError, match="cannot write"):
        exchange.export(network, tmp_path / "nowhere" / "model.keras")
    with pytest.raises(nnx.ConfigurationError, match=r"must end in \.keras"):
        exchange.export(network, tmp_path / "model.h5")
    assert [one.name for one in tmp_path.iterdir()] == ["model.keras"]


def test_the_one_function_keras_has_no_name_for_is_found_in_a_fresh_process(keras, tmp_path: Path):
    network = nnx.Network([nnx.Dense(WIDTH, 3), nnx.GELU(approximate=True)], seed=0)
    exchange.export(network, tmp_path / "model.keras")
    code = "from nnx.interop import keras; print(keras.load('model.keras').layers[1])"
    root = str(Path(nnx.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": root},
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert done.stdout.strip() == "gelu_1(approximate=True)"
    plain = "import nnx, sys; assert 'keras' not in sys.modules; nnx.interop.keras.register(); import keras; "
    plain += "print(keras.saving.load_model('model.keras').layers[1].name)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", plain], cwd=tmp_path, env=os.environ | {"PYTHONPATH": root},
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert done.stdout.strip() == "gelu_1"


@pytest.mark.parametrize("missing", ["keras", "tensorflow"])
def test_without_keras_one_line_says_what_to_install(monkeypatch, missing: str):
    for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(nnx.MissingLibraryError, match="pip install tensorflow"):
        exchange.to_keras(nnx.Network([nnx.Dense(3, 2)]))


# ------------------------------------------------------------------ conventions that differ, as documented


def one_step(keras: Any, regularizer: Any, weights: np.ndarray, l2: float) -> tuple[list[Any], nnx.Network]:
    """The values after one step of SGD in Keras and in nnx, from W = b = 1."""
    x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[1.0], [0.0], [2.0], [5.0]])
    layer = keras.layers.Dense(
        1, kernel_initializer="ones", bias_initializer="ones", kernel_regularizer=regularizer
    )
    model = keras.Sequential([keras.Input((1,)), layer])
    network = exchange.from_keras(model)
    model.compile(keras.optimizers.SGD(0.125), "mse")
    model.train_on_batch(x, y, sample_weight=weights)
    network.fit(
        x,
        y,
        loss=nnx.MeanSquaredError(),
        optimizer=nnx.SGD(0.125, l2=l2),
        batch_size=4,
        sample_weight=weights,
    )
    return model.get_weights(), network


def test_l2_of_keras_is_half_of_nnx_s_and_on_kernels_only(keras):
    theirs, network = one_step(keras, keras.regularizers.L2(0.25), np.ones(4), 0.5)
    np.testing.assert_allclose(network[0].W, theirs[0], **CLOSE)
    np.testing.assert_allclose(network[0].b, theirs[1] - 0.125 * 0.5 * 1.0, **CLOSE)  # b decays too


def test_sample_weights_of_keras_are_divided_by_the_rows(keras):
    weights = np.array([4.0, 2.0, 1.0, 1.0])  # of mean 2: Keras's step is twice nnx's
    theirs, network = one_step(keras, None, weights, 0.0)
    np.testing.assert_allclose(2.0 * (network[0].W - 1.0), theirs[0] - 1.0, **CLOSE)
    np.testing.assert_allclose(2.0 * (network[0].b - 1.0), theirs[1] - 1.0, **CLOSE)
