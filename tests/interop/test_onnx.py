"""Networks to ONNX files and back: the standard's checker, ONNX Runtime, and invalid files.

Outputs agree to 1e-6, relative and absolute: in float32 both sides round every operation by 1e-7. For
networks that amplify rounding, `test_networks_differ_by_what_they_make_of_rounding` states the bound.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_networks import TRIED
from support.onnx_graphs import CLOSE, ROWS, WIDTH, deep, float32, node, run, with_notes, written
from support.small_networks import IN_TRAINING, LAYERS, randomized

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")

# What ONNX Runtime computes in float32 only; the standard's own reference computes these instead.
ONLY_FLOAT32 = (
    nnx.LeakyReLU,
    nnx.ELU,
    nnx.GELU,
    nnx.Softplus,
    nnx.SELU,
    nnx.Mish,
    nnx.HardSigmoid,
    nnx.PReLU,
)


def reference(path: Path, x: np.ndarray) -> np.ndarray:
    """The output that the standard's own evaluator computes."""
    from onnx.reference import ReferenceEvaluator

    (y,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    return y


def test_every_layer_is_tried():
    public = {getattr(nnx, name) for name in nnx.__all__}
    public = {one for one in public if isinstance(one, type) and issubclass(one, nnx.Layer)} - {nnx.Layer}
    elsewhere = {nnx.Flatten, nnx.Reshape, nnx.Sequential, nnx.Residual, nnx.Concatenate}
    elsewhere |= {nnx.Contractive, nnx.TiedDense}  # by test_tied.py
    # These are refused for this reason, or only written, as test_onnx_write_tables.py tries.
    elsewhere |= {one for one in public if isinstance(one.record.onnx, str)}
    tried = {
        type(layer) for layer in (*LAYERS, *IN_TRAINING)
    } | TRIED  # by test_onnx_write_images.py and test_interop_shapes.py
    assert tried | elsewhere == public | elsewhere


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_a_layer_in_a_file_computes_what_it_did(rng, tmp_path: Path, layer: nnx.Layer, dtype, rows: int):
    twin = type(layer)(**layer.config())
    network = randomized(nnx.Network([twin], dtype=dtype).build(WIDTH), rng)
    path = tmp_path / "model.onnx"
    exchange.export(network, path)
    onnx.checker.check_model(str(path), full_check=True)
    x = (3.0 * rng.standard_normal((rows, WIDTH))).astype(dtype)
    float32_only = isinstance(twin, ONLY_FLOAT32) and not getattr(twin, "approximate", False)
    compute = reference if dtype == np.float64 and float32_only else run
    y = compute(path, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, network.predict(x), **CLOSE)
    back = exchange.load(path)
    assert (back.dtype, back.inputs, len(back)) == (network.dtype, WIDTH, 1)
    assert (type(back[0]), back[0].config()) == (type(twin), twin.config())
    for name, value in network.weights().items():
        np.testing.assert_array_equal(back.weights()[name], value)
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.parametrize("layer", IN_TRAINING, ids=repr)
def test_a_layer_that_only_changes_training_is_an_identity(rng, tmp_path: Path, layer: nnx.Layer):
    twin = type(layer)(**layer.config())
    network = nnx.Network([nnx.Dense(4), twin, nnx.Dense(3)], seed=0).build(WIDTH)
    exchange.export(network, tmp_path / "model.onnx")
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), network.predict(x), **CLOSE)
    back = exchange.load(tmp_path / "model.onnx")
    assert [type(one) for one in back.layers] == [nnx.Dense, nnx.Identity, nnx.Dense]


def test_a_trained_autoencoder_runs_elsewhere(tmp_path: Path):
    x = nnx.datasets.load_digits().x_train
    network = nnx.Network([nnx.Dense(64, 16), nnx.Tanh(), nnx.Dense(64), nnx.Sigmoid()], seed=0)
    network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-2), epochs=3)
    exchange.export(network, tmp_path / "model.onnx")
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), network.predict(x), **CLOSE)


# ---------------------------------------------------------------- files that others wrote


FOREIGN: dict[str, tuple[list[Any], dict[str, np.ndarray], dict[str, Any]]] = {
    "matrix product and sum, as from Keras": (
        [node("MatMul", "x", "W", to="h"), node("Add", "h", "b", to="z"), node("Relu", "z")],
        {"W": float32(WIDTH, 3), "b": float32(3)}, {},
    ),
    "the sum the other way round": (
        [node("MatMul", "x", "W", to="h"), node("Add", "b", "h")],
        {"W": float32(WIDTH, 3), "b": float32(1, 3)}, {},
    ),
    "a transposed product, as from PyTorch": (
        [node("Gemm", "x", "W", "b", to="h", transB=1), node("Gemm", "h", "V", alpha=0.5, beta=2.0)],
        {"W": float32(3, WIDTH), "b": float32(3), "V": float32(3, 2)}, {},
    ),
    "a sum alone, width not stated": ([node("Add", "x", "b")], {"b": float32(WIDTH)}, {"shape": ("N", "F")}),
    "a normalization without beta": (
        [node("LayerNormalization", "x", "g", axis=1)], {"g": float32(WIDTH)}, {},
    ),
    "a sigmoid as a gate": ([node("Sigmoid", "x", to="s"), node("Mul", "s", "x")], {}, {}),
    "a constant that is a node": (
        [
            onnx.helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(float32(WIDTH))),
            node("Add", "x", "c"),
        ], {}, {},
    ),
    "an old softmax over the second axis": ([node("Softmax", "x", axis=1)], {}, {"opset": 11}),
    "an old dropout": ([node("Dropout", "x", ratio=0.4)], {}, {"opset": 10}),
    "a number added, width not stated": (
        [node("Add", "x", "s", to="h"), node("MatMul", "h", "W")],
        {"s": np.array(0.5, np.float32), "W": float32(WIDTH, 3)}, {"shape": ("N", "F")},
    ),
    "numbers subtracted, divided, from either side": (
        [node("Sub", "s", "x", to="h"), node("Div", "h", "r", to="i"), node("Neg", "i", to="j"),
         node("Mul", "s", "j")],
        {"s": np.array([[3.0]], np.float32), "r": float32(1, WIDTH)}, {},
    ),
    "weights after operators that only move them": (
        [node("Identity", "V", to="V1"), node("Transpose", "V1", to="V2", perm=[1, 0]),
         onnx.helper.make_node("Cast", ["V2"], ["V3"], to=1),
         node("Reshape", "V3", "s", to="W"), node("MatMul", "x", "W")],
        {"V": float32(3, WIDTH).astype(np.float64), "s": np.array([WIDTH, 3])}, {},
    ),
    "bounds": (
        [node("Clip", "x", "low", "high", to="h"), node("Max", "h", "z", to="i"), node("Min", "i", "half")],
        {"low": np.array(-1, np.float32), "high": np.array(0.75, np.float32), "z": np.zeros(1, np.float32),
         "half": np.array(0.5, np.float32)}, {},
    ),
    "old bounds": ([node("Clip", "x", min=-0.5, max=0.5)], {}, {"opset": 10}),
    "rarer activations": (
        [node("PRelu", "x", "s", to="a"), node("Selu", "a", to="b"), node("Celu", "b", to="c", alpha=0.5),
         node("HardSigmoid", "c")], {"s": np.full((1, WIDTH), 0.3, np.float32)}, {},
    ),
    "rows that are reshaped to rows": (
        [node("Flatten", "x", to="a"), node("Reshape", "a", "s", to="b"), node("Tanh", "b")],
        {"s": np.array([0, -1])}, {},
    ),
    "rows reshaped by their own shape": (
        [node("Shape", "x", to="d"), node("Gather", "d", "first", to="n"),
         node("Unsqueeze", "n", "axis", to="m"),
         node("Concat", "m", "rest", to="s", axis=0), node("Reshape", "x", "s", to="h"), node("Relu", "h")],
        {"first": np.array(0), "axis": np.array([0]), "rest": np.array([-1])}, {},
    ),
    "a node that leads nowhere": (
        [node("Sin", "x", to="h"), node("Relu", "x")], {}, {},
    ),
    "1 / (1 + exp(-x))": (
        [node("Neg", "x", to="a"), node("Exp", "a", to="b"), node("Add", "b", "one", to="c"),
         node("Reciprocal", "c")], {"one": np.ones(1, np.float32)}, {},
    ),
    "a softmax written out": (
        [node("ReduceMax", "x", "axis", to="m"), node("Sub", "x", "m", to="c"), node("Exp", "c", to="e"),
         node("ReduceSum", "e", "axis", to="s"), node("Div", "e", "s")], {"axis": np.array([-1])}, {},
    ),
    "ELU written out": (
        [node("Exp", "x", to="e"), node("Sub", "e", "one", to="f"), node("Mul", "a", "f", to="g"),
         node("Less", "x", "zero", to="c"), node("Where", "c", "g", "x")],
        {"one": np.ones(1, np.float32), "a": np.array(0.7, np.float32), "zero": np.array(0, np.float32)}, {},
    ),
    "exp of a log-softmax": ([node("LogSoftmax", "x", to="h"), node("Exp", "h")], {}, {}),
    "x and an activation added": ([node("Relu", "x", to="h"), node("Add", "x", "h")], {}, {}),
    "x twice": ([node("Add", "x", "x")], {}, {}),
    "the larger of x and x / 10": (
        [node("Mul", "x", "s", to="h"), node("Max", "h", "x")], {"s": np.array(0.1, np.float32)}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_s_making_is_computed_alike(tmp_path: Path, rng, name: str):
    nodes, arrays, options = FOREIGN[name]
    path = written(tmp_path / "model.onnx", nodes, arrays, **options)
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(exchange.load(path).predict(x), run(path, x), **CLOSE)


def test_pictures_keep_their_shape_until_they_are_flattened(tmp_path: Path, rng):
    nodes = [node("Mul", "x", "s", to="h"), node("Flatten", "h", to="f"), node("MatMul", "f", "W")]
    arrays = {"s": np.array(1 / 255, np.float32), "W": float32(6, 4)}
    path = written(tmp_path / "model.onnx", nodes, arrays, shape=("N", 2, 3), rank=2)
    x = rng.uniform(0, 255, (ROWS, 2, 3)).astype(np.float32)
    network, said = with_notes(path)
    assert (network.input_shape, said) == ((2, 3), [])
    assert [type(layer).__name__ for layer in network.layers] == ["Rescale", "Flatten", "Dense"]
    np.testing.assert_allclose(network.predict(x), run(path, x), **CLOSE)


def test_networks_differ_by_what_they_make_of_rounding(tmp_path: Path):
    """In float32 every layer rounds its numbers by 2⁻²⁴ of the largest, a few times, and layers after it
    amplify that: a LayerNorm of nearly constant rows by a thousand. What they make of it is seen in float64,
    where one layer's numbers after the other are moved by that much."""
    seen = []
    tried = [one for one in LAYERS if type(one) not in (nnx.Rescale, nnx.Exp)]  # Exp of Exp overflows
    for seed in range(40):
        rng = np.random.default_rng(seed)
        kinds = [tried[int(one)] for one in rng.integers(0, len(tried), rng.integers(1, 7))]
        layers = [type(one)(**one.config()) for one in kinds]
        network = randomized(nnx.Network(layers, seed=seed).build(int(rng.integers(1, 8))), rng)
        x = rng.normal(0.0, 3.0, (50, network.inputs)).astype(np.float32)
        exchange.export(network, tmp_path / "model.onnx")
        y, own = run(tmp_path / "model.onnx", x), network.predict(x)
        exact = nnx.Network.from_config(network.config() | {"dtype": "float64"})
        exact.set_weights(network.weights())
        bound = 16 * amplified(exact, x.astype(np.float64), rng)
        assert np.abs(y - own).max() <= bound, (seed, network.layers)
        seen.append(np.abs(y - own).max())
    assert max(seen) < 1e-4


def amplified(network: nnx.Network, x: np.ndarray, rng: np.random.Generator) -> float:
    """By how much the output moves where each layer's input is moved by one rounding, all layers added."""
    y, total = network.predict(x), np.finfo(np.float32).eps * float(np.abs(network.predict(x)).max())
    for at in range(len(network)):
        inner = x if at == 0 else network[:at].predict(x)
        size = np.abs(inner).max(axis=1, keepdims=True)
        moved = inner + 2.0**-24 * size * rng.choice([-1.0, 1.0], inner.shape)
        total += float(np.abs(network[at:].predict(moved) - y).max())
    return total


def test_a_sum_alone_stays_one_in_training(tmp_path: Path, rng):
    b = float32(WIDTH)
    path = written(tmp_path / "model.onnx", [node("Add", "x", "b")], {"b": b})
    network = exchange.load(path)
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(network.forward(x, training=True), x + b)


SQUARE = float32(WIDTH, WIDTH)
REFUSED: list[tuple[str, list[Any], dict[str, np.ndarray], dict[str, Any]]] = [
    ("node 'Sin_y' (Sin): nnx has no layer for Sin", [node("Sin", "x")], {}, {}),
    ("node 'y' (Sin)", [onnx.helper.make_node("Sin", ["x"], ["y"])], {}, {}),
    ("goes to node 'Relu_h' (Relu) and node 'Mul_y' (Mul)",
     [node("Relu", "x", to="h"), node("Mul", "x", "h")], {}, {}),
    ("goes to node 'Mul_y' (Mul); nnx can read", [node("Mul", "x", "x")], {}, {}),
    ("it has 2 inputs (x, z)", [node("Add", "x", "z")], {}, {"inputs": ("x", "z")}),
    ("it has 2 outputs (y, h)", [node("Relu", "x", to="h"), node("Tanh", "h")], {}, {"outputs": ("y", "h")}),
    ("node 'Sin_h' (Sin): ",
     [node("Sin", "c", to="h"), node("Add", "x", "h")], {"c": float32(WIDTH)}, {}),
    ("int32", [node("Identity", "x")], {}, {"kind": onnx.TensorProto.INT32}),
    ("operator set is 6", [node("Relu", "x")], {}, {"opset": 6}),
    ("single number", [node("Relu", "x")], {}, {"shape": ()}),
    ("width of its input", [node("Relu", "x")], {}, {"shape": ("N", "F")}),
    ("transA", [node("Gemm", "x", "W", transA=1)], {"W": float32(7, 3)}, {"shape": (7, 4)}),
    ("constants", [node("MatMul", "W", "x")], {"W": float32(3, 4)}, {"shape": (4, 5)}),
    ("weights have 3 axes", [node("MatMul", "x", "W")], {"W": float32(2, 5, 3)}, {"shape": (2, 4, 5)}),
    ("its array of shape (4, 5)", [node("Gemm", "x", "W", "c")], {"W": SQUARE, "c": float32(4, 5)},
     {"shape": (4, 5)}),
    ("axis 0", [node("Softmax", "x", axis=0)], {}, {}),
    ("axis 1 of 3", [node("LayerNormalization", "x", "g", axis=1)], {"g": float32(4, 5)},
     {"shape": (3, 4, 5)}),
    ("features on the second", [node("MatMul", "x", "W", to="h"), node("BatchNormalization", "h", *"gggv")],
     {"W": SQUARE, "g": float32(4), "v": float32(4) ** 2}, {"shape": (3, 4, 5)}),
    ("training mode", [node("Dropout", "x", "r", "t")],
     {"r": np.array(0.5, np.float32), "t": np.array(True)}, {}),
    ("rate must lie in", [node("Dropout", "x", "r")], {"r": np.array(1.0, np.float32)}, {}),
    ("epsilon must lie in", [node("LayerNormalization", "x", "g", epsilon=0.0)], {"g": float32(5)}, {}),
    ("numbers, but", [node("MatMul", "x" if i == 0 else f"h{i}", "W", to=f"h{i + 1}" if i < 9 else "y")
                         for i in range(10)], {"W": float32(100, 100)}, {"shape": ("N", 100)}),
    ("not a valid ONNX file", [node("MatMul", "x", "W")], {"W": float32(WIDTH + 1, 3)}, {}),
    ("not a valid ONNX file", [node("Relu", "nothing")], {}, {}),
    ("node 'Mul_y' (Mul): its array of shape (3,) does not fit rows of 1",
     [node("Mul", "x", "s")], {"s": float32(3)}, {"shape": ("N", 1)}),
    ("node 'Mul_y' (Mul): its array of shape (1, 1, 5) does not fit",
     [node("Mul", "x", "s")], {"s": float32(1, 1, 5)}, {"rank": 3}),
    ("it divides by the data, or by zero", [node("Div", "s", "x")], {"s": float32(5)}, {}),
    ("it divides by the data, or by zero", [node("Div", "x", "s")], {"s": np.zeros(5, np.float32)}, {}),
    ("not finite",
     [node("Mul", "x", "s")], {"s": np.full(5, np.inf, np.float32)}, {}),
    ("from (rows, 5) to (?, 1)",
     [node("Reshape", "x", "s")], {"s": np.array([-1, 1])}, {}),
    ("node 'Reshape_y' (Reshape): ",
     [node("Reshape", "x", "s")], {"s": np.array([1, -1])}, {}),
    ("node 'Flatten_y' (Flatten): it flattens from axis 0", [node("Flatten", "x", axis=0)], {}, {}),
    ("from (rows, ?, 5) to (rows, ?)",
     [node("MatMul", "x", "W", to="h"), node("Flatten", "h")], {"W": SQUARE},
     {"shape": ("N", "T", 5), "rank": 2}),
    ("node 'LogSoftmax_y' (LogSoftmax): nnx has no LogSoftmax",
     [node("LogSoftmax", "x")], {}, {}),
    ("node 'Log_y' (Log): nnx has no LogSoftmax", [node("Softmax", "x", to="s"), node("Log", "s")], {}, {}),
    ("goes to node 'Tanh_h' (Tanh) and node 'Sub_y' (Sub)",
     [node("Tanh", "x", to="h"), node("Sub", "x", "h")], {}, {}),
    ("goes to node 'Div_h' (Div) and node 'Mul_q' (Mul)",  # not GELU: 1.5 is no √2
     [node("Div", "x", "r", to="h"), node("Erf", "h", to="e"), node("Add", "e", "one", to="p"),
      node("Mul", "x", "p", to="q"), node("Mul", "q", "half")],
     {"r": np.array(1.5, np.float32), "one": np.ones(1, np.float32), "half": np.array(0.5, np.float32)}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "nodes", "arrays", "options"), REFUSED, ids=[entry[0] for entry in REFUSED])
def test_what_nnx_s_layers_do_not_compute_is_refused_with_its_node(tmp_path, text, nodes, arrays, options):
    path = written(tmp_path / "model.onnx", nodes, arrays, **options)
    with pytest.raises(nnx.FileFormatError) as caught:
        exchange.load(path)
    assert text in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------- damaged and hostile files


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, rng):
    path = tmp_path / "model.onnx"
    exchange.export(deep(), path)
    content = path.read_bytes()
    damaged = [b"", b"not a model", content[:-100], content[:100], bytes(1000)]
    for _ in range(200):  # any byte may be another
        spoilt = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            spoilt[place] ^= int(rng.integers(1, 256))
        damaged.append(bytes(spoilt))
    said = []
    for one in damaged:
        path.write_bytes(one)
        try:
            exchange.load(path)  # a weight that is another number is not seen: the format has no checksum
        except nnx.FileFormatError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all(text.startswith(str(path)) and "\n" not in text for text in said)
    with pytest.raises(nnx.FileFormatError, match="no model file"):
        exchange.load(tmp_path / "missing.onnx")
    with pytest.raises(nnx.FileFormatError, match="no model file"):
        exchange.load(tmp_path)


def test_a_code_that_does_not_fit_is_refused(tmp_path: Path):
    exchange.export(deep(), tmp_path / "model.onnx")
    for value in ("99", "0", "many"):
        model = onnx.load(tmp_path / "model.onnx")
        onnx.helper.set_model_props(model, {"nnx.code": value})
        onnx.save(model, tmp_path / "spoilt.onnx")
        with pytest.raises(nnx.FileFormatError, match=r"spoilt\.onnx"):
            exchange.load(tmp_path / "spoilt.onnx")


class Own(nnx.Dense):
    """A layer with passes of its own: what it computes, no operator does."""


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "model.onnx"
    exchange.export(deep(), path)
    before = path.read_bytes()
    with pytest.raises(nnx.ConfigurationError, match=r"layer 1, own_1\(4, 2\): "):
        exchange.export(nnx.Network([nnx.Dense(5, 4), Own(4, 2)]), path)
    with pytest.raises(nnx.ConfigurationError, match="input width"):
        exchange.export(nnx.Network([nnx.Dense(4)]), path)
    assert path.read_bytes() == before
    with pytest.raises(nnx.OutputError, match="cannot write"):
        exchange.export(deep(), tmp_path / "nowhere" / "model.onnx")
    assert [one.name for one in tmp_path.iterdir()] == ["model.onnx"]


def test_without_onnx_one_line_says_what_to_install(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (
        lambda: exchange.export(deep(), tmp_path / "a.onnx"),
        lambda: exchange.load(tmp_path / "a.onnx"),
    ):
        with pytest.raises(nnx.MissingLibraryError, match="pip install onnx"):
            call()
