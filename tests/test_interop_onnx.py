"""Networks to ONNX files and back: the standard's checker, ONNX Runtime, files that are not what they say.

Outputs agree to 1e-6, relative and absolute: in float32 both sides round every operation by 1e-7.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import LAYERS, randomized

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")

ROWS, WIDTH = 9, 5
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
# What ONNX Runtime computes in float32 only; the standard's own reference computes these instead.
ONLY_FLOAT32 = (nnx.LeakyReLU, nnx.ELU, nnx.GELU, nnx.Softplus)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """The output that ONNX Runtime computes."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return y


def reference(path: Path, x: np.ndarray) -> np.ndarray:
    """The output that the standard's own evaluator computes."""
    from onnx.reference import ReferenceEvaluator

    (y,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    return y


def test_every_layer_is_tried():
    public = {getattr(nnx, name) for name in nnx.__all__}
    public = {one for one in public if isinstance(one, type) and issubclass(one, nnx.Layer)} - {nnx.Layer}
    assert {type(layer) for layer in LAYERS} == public


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


def deep(dtype: Any = "float32") -> nnx.Network:
    network = nnx.Network(
        [
            nnx.Dense(WIDTH, 7, activation="relu"),
            nnx.BatchNorm(),
            nnx.Dropout(0.25),
            nnx.Dense(3, activation="silu"),
            nnx.LayerNorm(),
            nnx.Dense(WIDTH, activation="sigmoid"),
        ],
        seed=0,
        dtype=dtype,
    )
    network.code = 5
    return network


def test_a_deep_network_its_slices_and_what_the_file_says_of_itself(rng, tmp_path: Path, dtype):
    network = randomized(deep(dtype), rng)
    x = rng.standard_normal((ROWS, WIDTH)).astype(dtype)
    for part, name in ((network, "whole.onnx"), (network[:5], "encoder.onnx"), (network[5:], "decoder.onnx")):
        data = x if part is not network[5:] and name != "decoder.onnx" else network[:5].predict(x)
        exchange.export(part, tmp_path / name)
        np.testing.assert_allclose(run(tmp_path / name, data), part.predict(data), **CLOSE)
        np.testing.assert_array_equal(exchange.load(tmp_path / name).predict(data), part.predict(data))
    assert exchange.load(tmp_path / "whole.onnx").code == 5
    assert exchange.load(tmp_path / "encoder.onnx").code is None
    model = onnx.load(tmp_path / "whole.onnx")
    assert (model.producer_name, model.producer_version) == ("nnx", nnx.__version__)
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input] == ["batch"]
    assert [node.name for node in model.graph.node if node.op_type == "Gemm"] == [
        "dense_1",
        "dense_2",
        "dense_3",
    ]


def test_a_trained_autoencoder_runs_elsewhere(tmp_path: Path):
    x = nnx.datasets.load_digits().x_train
    network = nnx.Network([nnx.Dense(64, 16), nnx.Tanh(), nnx.Dense(64), nnx.Sigmoid()], seed=0)
    network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-2), epochs=3)
    exchange.export(network, tmp_path / "model.onnx")
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), network.predict(x), **CLOSE)


# ---------------------------------------------------------------- files that others wrote


def written(
    path: Path,
    nodes: list[Any],
    arrays: dict[str, np.ndarray],
    *,
    shape: tuple[Any, ...] = ("N", WIDTH),
    opset: int = 20,
    kind: int = onnx.TensorProto.FLOAT,
    outputs: tuple[str, ...] = ("y",),
    inputs: tuple[str, ...] = ("x",),
) -> Path:
    """A file of these nodes between x and y."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, kind, [f"d{i}" for i in range(len(shape))]) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(model, path)
    return path


def node(kind: str, *inputs: str, to: str = "y", **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, list(inputs), [to], name=f"{kind}_{to}", **attributes)


def float32(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


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
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_s_making_is_computed_alike(tmp_path: Path, rng, name: str):
    nodes, arrays, options = FOREIGN[name]
    path = written(tmp_path / "model.onnx", nodes, arrays, **options)
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(exchange.load(path).predict(x), run(path, x), **CLOSE)


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
    ("goes to node 'Relu_h' (Relu) and node 'Add_y' (Add)",
     [node("Relu", "x", to="h"), node("Add", "x", "h")], {}, {}),
    ("node 'Add_y' (Add): it takes the data twice", [node("Add", "x", "x")], {}, {}),
    ("it has 2 inputs (x, z)", [node("Add", "x", "z")], {}, {"inputs": ("x", "z")}),
    ("it has 2 outputs (y, h)", [node("Relu", "x", to="h"), node("Tanh", "h")], {}, {"outputs": ("y", "h")}),
    ("1 of 2 nodes lie between", [node("Relu", "x"), node("Tanh", "c", to="h")], {"c": SQUARE}, {}),
    ("of type int32", [node("Identity", "x")], {}, {"kind": onnx.TensorProto.INT32}),
    ("operator set is 6", [node("Relu", "x")], {}, {"opset": 6}),
    ("no axes", [node("Relu", "x")], {}, {"shape": ()}),
    ("width of its input is not stated", [node("Relu", "x")], {}, {"shape": ("N", "F")}),
    ("transA", [node("Gemm", "x", "W", transA=1)], {"W": float32(7, 3)}, {"shape": (7, 4)}),
    ("weights constants", [node("MatMul", "W", "x")], {"W": float32(3, 4)}, {"shape": (4, 5)}),
    ("weights have 3 axes", [node("MatMul", "x", "W")], {"W": float32(2, 5, 3)}, {"shape": (2, 4, 5)}),
    ("another row to each row", [node("Gemm", "x", "W", "c")], {"W": SQUARE, "c": float32(4, 5)},
     {"shape": (4, 5)}),
    ("runs over axis 0", [node("Softmax", "x", axis=0)], {}, {}),
    ("runs over axis 1 of 3", [node("LayerNormalization", "x", "g", axis=1)], {"g": float32(4, 5)},
     {"shape": (3, 4, 5)}),
    ("features on the second", [node("BatchNormalization", "x", "g", "g", "g", "v")],
     {"g": float32(4), "v": float32(4) ** 2}, {"shape": (3, 4, 5)}),
    ("training mode", [node("Dropout", "x", "r", "t")],
     {"r": np.array(0.5, np.float32), "t": np.array(True)}, {}),
    ("rate must lie in", [node("Dropout", "x", "r")], {"r": np.array(1.0, np.float32)}, {}),
    ("epsilon must lie in", [node("LayerNormalization", "x", "g", epsilon=0.0)], {"g": float32(5)}, {}),
    ("its layers take", [node("MatMul", "x" if i == 0 else f"h{i}", "W", to=f"h{i + 1}" if i < 9 else "y")
                         for i in range(10)], {"W": float32(100, 100)}, {"shape": ("N", 100)}),
    ("not a valid ONNX file", [node("MatMul", "x", "W")], {"W": float32(WIDTH + 1, 3)}, {}),
    ("not a valid ONNX file", [node("Relu", "nothing")], {}, {}),
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


def outside(path: Path, values: np.ndarray, change: dict[str, str]) -> Path:
    """A file whose weights lie beside it, in weights.bin; `change` says otherwise."""
    written(path, [node("MatMul", "x", "W")], {"W": values})
    (path.parent / "weights.bin").write_bytes(values.tobytes())
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin", "length": str(values.nbytes)} | change).items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_a_file_beside_it_are_read(tmp_path: Path):
    values = float32(WIDTH, 3)
    network = exchange.load(outside(tmp_path / "model.onnx", values, {}))
    np.testing.assert_array_equal(network[0].W, values)


def test_weights_elsewhere_are_not(tmp_path: Path):
    values = float32(WIDTH, 3)
    (tmp_path / "secret.bin").write_bytes(values.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    for change in (
        {"location": "../secret.bin"},
        {"location": str(tmp_path / "secret.bin")},
        {"location": "link.bin"},
        {"location": "missing.bin"},
        {"location": ""},
        {"offset": "4"},
        {"offset": "-4"},
        {"offset": "many"},
        {"length": "8"},
    ):
        path = outside(folder / "model.onnx", values, change)
        with pytest.raises(nnx.FileFormatError) as caught:
            exchange.load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_one_file_does_not_stand_for_more_than_it_holds(tmp_path: Path):
    """A hundred matrices, all the same few bytes."""
    path = outside(tmp_path / "model.onnx", SQUARE, {})
    model = onnx.load(path, load_external_data=False)
    for i in range(100):
        twin = model.graph.initializer.add()
        twin.CopyFrom(model.graph.initializer[0])
        twin.name = f"W{i}"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(nnx.FileFormatError, match="too short"):
        exchange.load(path)


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
    with pytest.raises(nnx.ConfigurationError, match=r"layer 1, own_1\(4, 2\): there is no operator"):
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
