"""Networks to the real Keras and back: same values and outputs, or an error that says why not.

Outputs agree to 1e-6: in float32 both round every operation by 1e-7, and in float64 Keras holds some
constants in float32 (slopes, GELU's √2).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_networks import LAYERS, randomized

import nnx
from nnx.interop import keras as exchange

pytestmark = [
    pytest.mark.keras,
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # Keras of its own
]

ROWS, WIDTH = 9, 5
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras 3 on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        return pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")


def outputs(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False))


def test_every_layer_is_tried():
    public = {getattr(nnx, name) for name in nnx.__all__}
    public = {one for one in public if isinstance(one, type) and issubclass(one, nnx.Layer)} - {nnx.Layer}
    elsewhere = {nnx.Flatten, nnx.Reshape, nnx.Sequential, nnx.Residual, nnx.Concatenate}
    assert {type(layer) for layer in LAYERS} == public - elsewhere  # interop/test_interop_shapes.py


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


ACTIVATIONS = (
    *("linear", "relu", "leaky_relu", "elu", "gelu", "silu", "swish"),
    *("sigmoid", "tanh", "softplus", "softmax"),
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


def with_notes(read: Any, source: Any) -> tuple[nnx.Network, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        network = read(source)
    assert all(one.filename == __file__ for one in said)
    return network, [str(one.message).split(": ", 1)[1] for one in said]


def test_what_acts_in_training_only_is_left_out_with_a_note(keras, rng, tmp_path: Path):
    layers = keras.layers
    stack = [layers.GaussianNoise(0.1), layers.GaussianDropout(0.2), layers.AlphaDropout(0.3)]
    stack = [*stack, layers.Dense(3), layers.ActivityRegularization(0.01)]
    model = keras.Sequential([keras.Input((WIDTH,)), *stack])
    model.save(tmp_path / "model.keras")
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    for network, said in (
        with_notes(exchange.from_keras, model),
        with_notes(exchange.load, tmp_path / "model.keras"),
    ):
        assert [type(layer).__name__ for layer in network.layers] == ["Dense"]
        assert [one.split(" (")[1].split(")")[0] for one in said] == [
            "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"
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
    ("Reshape", {"target_shape": (-1,)}),
    ("Flatten", {}),
    *(("Activation", {"activation": name}) for name in (
        "relu6", "selu", "hard_sigmoid", "hard_tanh", "log_sigmoid"
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


def test_one_activation_called_twice(keras, rng, tmp_path: Path):
    relu, x = keras.layers.ReLU(), keras.Input((WIDTH,))
    model = keras.Model(x, relu(keras.layers.Dense(4)(relu(keras.layers.Dense(3)(x)))))
    model.save(tmp_path / "model.keras")
    data = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    network = exchange.load(tmp_path / "model.keras")
    assert [type(layer).__name__ for layer in network.layers] == ["Dense", "ReLU", "Dense", "ReLU"]
    np.testing.assert_allclose(network.predict(data), outputs(model, data), **CLOSE)


def test_a_model_of_both_float_types_is_float64(keras, rng):
    layers = [keras.layers.Rescaling(1.0, -1e9, dtype="float64"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((WIDTH,), dtype="float64"), *layers])
    x = 1e9 + rng.standard_normal((ROWS, WIDTH))
    network, said = with_notes(exchange.from_keras, model)
    (text,) = said
    assert "float32 and float64" in text
    np.testing.assert_allclose(network.predict(x), outputs(model, x), **CLOSE)


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
        ("layer p .PReLU.: .*slope",
         sequential(layers.PReLU(keras.initializers.RandomUniform(0.1, 0.9), name="p"))),
        ("layer inner/u .UnitNormalization.: nnx has no such layer",
         sequential(keras.Sequential([keras.Input((WIDTH,)), unit], name="inner"))),
        ("layer d .Dense.: nnx has no log_softmax",
         sequential(layers.Dense(2, "log_softmax", name="d"))),
        ("layer l .Lambda.: nnx has no such layer", sequential(layers.Lambda(lambda v: v * 2, name="l"))),
        ("layer d .Dense.: nnx has no activation 'mish'", sequential(layers.Dense(2, "mish", name="d"))),
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


def saved(path: Path) -> Path:
    exchange.export(nnx.Network([nnx.Dense(WIDTH, 3), nnx.ReLU()], seed=0), path)
    return path


def rewritten(source: Path, target: Path, change: Any) -> Path:
    """A copy of a ``.keras`` file whose description `change` has changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                described = json.loads(content)
                content = json.dumps(change(described) or described).encode()
            new.writestr(name, content)
    return target


def test_a_damaged_or_hostile_file_is_refused_in_one_line(keras, tmp_path: Path):
    good = saved(tmp_path / "good.keras")
    content = good.read_bytes()

    def layer(position: int, **entries: Any) -> Any:
        return lambda described: described["config"]["layers"][position].update(entries)

    def option(position: int, **entries: Any) -> Any:
        return lambda described: described["config"]["layers"][position]["config"].update(entries)

    def changed(name: str, change: Any) -> Path:
        return rewritten(good, tmp_path / f"{name}.keras", change)

    function = {"module": "nowhere", "class_name": "function", "config": "system", "registered_name": "own>f"}
    files = {
        "is not a zip file": tmp_path / "text.keras",
        "BadZipFile": tmp_path / "short.keras",
        "no model file": tmp_path / "missing.keras",
        "must end in .keras": tmp_path / "model.pt",
        "old format, HDF5: convert it by keras.saving.load_model": tmp_path / "model.h5",
        "hidden.keras has Keras's old format": tmp_path / "hidden.keras",
        "unpacks to": tmp_path / "bomb.keras",
        "layer dense_1 (Lambda): nnx has no such layer": changed("lambda", layer(1, class_name="Lambda")),
        "layer dense_1 (Dense): nnx has no such layer": changed("foreign", layer(1, module="os")),
        "model of class Popen": changed("class", lambda d: d.update(class_name="Popen")),
        "5,000,000,000 numbers": changed("huge", option(1, units=10**9)),
        "TypeError": changed("wordy", option(1, units="many")),
        "KeyError: 'config'": changed("empty", lambda d: {"class_name": "Sequential"}),
        "TypeError: list": changed("list", lambda d: ["Sequential"]),
        "function.keras": changed("function", option(1, activation=function)),
    }
    (tmp_path / "text.keras").write_text("not a model")
    (tmp_path / "hidden.keras").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "short.keras").write_bytes(content[:-200])
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("config.json", "{}")
        bomb.writestr("model.weights.h5", bytes(2**26))
    for text, path in files.items():
        with pytest.raises(nnx.FileFormatError) as caught:
            exchange.load(path)
        assert text in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


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
