"""Rows of several axes and containers: to Keras and ONNX and back, and from files of others.

In float64 all programs agree to 1e-12. In float32 they round each number by 6e-8 of its size, in another
order. The networks here sum at most 24 products for each number, so 5e-6 is enough for ten such layers.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import command
from support.small_networks import randomized

import nnx
from nnx.cli.export import _compare as compare

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = [
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # in Keras itself
]

ROWS = 7
EPSILON = 2.0**-10  # ONNX stores it in 32 bits


def close(dtype: Any) -> dict[str, float]:
    size = 1e-12 if np.dtype(dtype) == np.float64 else 5e-6
    return {"rtol": size, "atol": size}


D = nnx.Dense
NETWORKS: dict[str, tuple[tuple[int, ...], Any]] = {
    "residual": ((5,), lambda: [
        D(8), nnx.Residual([nnx.LayerNorm(EPSILON), D(8), nnx.SiLU(), nnx.Dropout(0.2), D(8)]), D(2)
    ]),
    "projection": ((5,), lambda: [nnx.Residual([D(4), nnx.Tanh()], projection=D(4)), nnx.Sigmoid()]),
    "rank 3": ((3, 4), lambda: [
        D(8), nnx.BatchNorm(epsilon=EPSILON), nnx.Residual([D(6), nnx.Tanh()], projection=[D(6), nnx.ReLU()]),
        nnx.Flatten(), D(2), nnx.Softmax(),
    ]),
    "rank 4": ((2, 3, 4), lambda: [
        nnx.Concatenate([[], [D(5), nnx.ReLU()], [nnx.Residual([nnx.Tanh()])]]), nnx.LayerNorm(EPSILON),
        nnx.BatchNorm(epsilon=EPSILON), nnx.Reshape((6, -1)), nnx.Softmax(), nnx.Rescale(2.0, 0.5),
    ]),
    "reshaped": ((12,), lambda: [nnx.Reshape((3, 4)), D(5), nnx.Flatten()]),
    "nested": ((4,), lambda: [
        nnx.Residual([nnx.Residual([D(4)], projection=[D(4)])], projection=[D(4), nnx.Tanh()]),
        nnx.Residual([nnx.Concatenate([[D(2)], [D(2)]])]),
    ]),
    "one branch": ((4,), lambda: [nnx.Concatenate([[]])]),
}  # fmt: skip


def made(name: str, dtype: Any, rng: np.random.Generator) -> tuple[nnx.Network, np.ndarray]:
    """A network with drawn values, and rows for it."""
    shape, layers = NETWORKS[name]
    network = randomized(nnx.Network(layers(), seed=0, dtype=dtype).build(shape), rng)
    return network, rng.standard_normal((ROWS, *shape)).astype(dtype)


def structure(layers: Any) -> list[Any]:
    return [
        (type(layer).__name__, [structure(branch) for branch in layer.branches], layer.output_shape)
        for layer in layers
    ]


def same(back: nnx.Network, network: nnx.Network, x: np.ndarray) -> None:
    """See that two networks have the same layers, names and bits."""
    assert structure(back.layers) == structure(network.layers)
    assert list(back.weights()) == list(network.weights())
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """The output of ONNX Runtime, which must be that of the standard's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    (reference,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    np.testing.assert_allclose(y, reference, **close(x.dtype))
    return y


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras 3 on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        return pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")


# ------------------------------------------------------------------------------------ nnx's own networks


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_goes_to_onnx_and_comes_back(tmp_path: Path, rng, name: str, dtype):
    network, x = made(name, dtype, rng)
    path = tmp_path / "model.onnx"
    nnx.interop.onnx.export(network, path)
    np.testing.assert_allclose(run(path, x), network.predict(x), **close(dtype))
    np.testing.assert_allclose(run(path, x[:1]), network.predict(x[:1]), **close(dtype))
    same(nnx.interop.onnx.load(path), network, x)


@pytest.mark.keras
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_goes_to_keras_and_comes_back(keras, tmp_path: Path, rng, name: str, dtype):
    network, x = made(name, dtype, rng)
    network.layers[0].trainable = False
    model = nnx.interop.keras.to_keras(network)
    y = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(y, network.predict(x), **close(dtype))
    nnx.interop.keras.export(network, tmp_path / "model.keras")
    for back in (nnx.interop.keras.from_keras(model), nnx.interop.keras.load(tmp_path / "model.keras")):
        same(back, network, x)
        assert [layer.trainable for layer in back.layers] == [layer.trainable for layer in network.layers]


@pytest.mark.keras
def test_the_layers_of_a_sequential_are_written_one_by_one(keras, tmp_path: Path, rng):
    inner = nnx.Sequential([D(3), nnx.Sequential([nnx.Tanh()])])
    network = nnx.Network([inner, nnx.Flatten(), D(4)], seed=0).build(4)
    network.encoder_length = 1
    x = rng.standard_normal((ROWS, 4)).astype(np.float32)
    model = nnx.interop.keras.to_keras(network)
    assert [layer.name for layer in model.layers][:2] == [
        "sequential_1.dense_1",
        "sequential_1.sequential_1.tanh_1",
    ]
    nnx.interop.onnx.export(network, tmp_path / "model.onnx")
    back = nnx.interop.onnx.load(tmp_path / "model.onnx")
    assert [type(layer).__name__ for layer in back.layers] == ["Dense", "Tanh", "Dense"]
    assert back.encoder_length == 2  # its layers, after which the encoder ends
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.keras
def test_nnx_export_writes_containers_and_compares_them(keras, tmp_path: Path, rng):
    network, _ = made("rank 3", "float32", rng)
    network.save(tmp_path / "model.safetensors")
    for name in ("model.onnx", "model.keras"):
        done = command(tmp_path, "export", "model.safetensors", "--out", name)
        assert done.returncode == 0, done.stderr
        assert "largest difference to nnx predict" in done.stderr
        assert (tmp_path / name).is_file()
    spoiled = nnx.Network([nnx.Reshape((2, 3)), nnx.Rescale(1.01)]).build(6)  # outputs of two axes
    nnx.interop.onnx.export(nnx.Network([nnx.Reshape((2, 3))]).build(6), tmp_path / "other.onnx")
    with pytest.raises(nnx.OutputError, match=r"output [1-6] differs"):
        compare(nnx.interop.onnx, tmp_path / "other.onnx", spoiled, None, {})


class Own(nnx.Layer):
    def forward_into(self, x, y, workspace):
        y[...] = x

    def backward_into(self, dy, dx, workspace):
        dx[...] = dy


@pytest.mark.keras
def test_a_layer_of_your_own_inside_a_container_is_named(keras, tmp_path: Path):
    network = nnx.Network([nnx.Residual([D(4), Own()])]).build(4)
    for act in (
        lambda: nnx.interop.keras.to_keras(network),
        lambda: nnx.interop.onnx.export(network, tmp_path / "model.onnx"),
    ):
        with pytest.raises(nnx.ConfigurationError, match=r"residual_1\.own_1") as caught:
            act()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------- others' ONNX files


def node(kind: str, *inputs: str, to: str = "y", **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, list(inputs), [to], name=f"{kind}_{to}", **attributes)


def written(
    path: Path, nodes: list[Any], shape: tuple[Any, ...], rank: int | None = None, **arrays: Any
) -> Path:
    """A float32 file of these nodes between x, of shape (rows, *shape), and y."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", kind, ("N", *shape))],
        [helper.make_tensor_value_info("y", kind, [f"d{i}" for i in range(rank or len(shape) + 1)])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


W, V, POSITIVE = numbers(5, 5), numbers(5, 5) / 2, np.abs(numbers(5)) + 0.5
BLOCK = [  # as PyTorch writes x + linear(gelu(linear(x)))
    node("Gemm", "x", "W", "b", to="h", transB=1), node("Div", "h", "r", to="d"), node("Erf", "d", to="e"),
    node("Add", "e", "one", to="p"), node("Mul", "h", "p", to="q"), node("Mul", "q", "half", to="g"),
    node("Gemm", "g", "V", "b", to="f", transB=1),
]  # fmt: skip
GELU = {
    "r": np.float32(2**0.5),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "b": numbers(5),
    "W": W,
    "V": V,
}
READ: dict[str, tuple[list[Any], tuple[Any, ...], dict[str, Any], list[Any]]] = {
    "PyTorch's residual block": (
        [*BLOCK, node("Add", "x", "f", to="s"), node("Relu", "s")], (5,), GELU,
        [("Residual", [["Dense", "GELU", "Dense"], []]), "ReLU"],
    ),
    "two blocks, a projection": (
        [*BLOCK, node("Add", "f", "x", to="s"), node("MatMul", "s", "W", to="c"),
         node("MatMul", "s", "V", to="i"), node("Tanh", "i", to="t"), node("Add", "t", "c")], (5,), GELU,
        [("Residual", [["Dense", "GELU", "Dense"], []]), ("Residual", [["Dense", "Tanh"], ["Dense"]])],
    ),
    "three terms": (
        [node("MatMul", "x", "W", to="a"), node("Relu", "x", to="c"), node("Sum", "a", "x", "c")], (5,),
        {"W": W},
        [("Residual", [[("Residual", [["Dense"], []])], ["ReLU"]])],
    ),
    "concatenated, densely": (
        [node("Relu", "x", to="a"), node("Concat", "x", "a", to="c", axis=-1), node("Tanh", "c", to="t"),
         node("Concat", "t", "c", axis=2)], (3, 5), {},
        [("Concatenate", [[], ["ReLU"]]), ("Concatenate", [["Tanh"], []])],
    ),
    "a normalization of the last axis, as from PyTorch": (
        [node("Transpose", "x", to="t", perm=[0, 2, 1]),
         node("BatchNormalization", "t", "b", "b", "b", "v", to="n"),
         node("Transpose", "n", perm=[0, 2, 1])], (3, 5), {"b": numbers(5), "v": POSITIVE}, ["BatchNorm"],
    ),
    "reshaped and flattened": (
        [node("Reshape", "x", "s", to="r"), node("Relu", "r", to="a"), node("Unsqueeze", "a", "at", to="u"),
         node("Squeeze", "u", "at", to="q"), node("Flatten", "q")], (3, 2),
        {"s": np.array([-1, 2, 3]), "at": np.array([2])},
        ["Reshape", "ReLU", "Reshape", "Reshape", "Flatten"],
    ),
}  # fmt: skip


def kinds(layers: Any) -> list[Any]:
    return [
        (type(layer).__name__, list(map(kinds, layer.branches))) if layer.branches else type(layer).__name__
        for layer in layers
    ]


@pytest.mark.parametrize("name", READ)
def test_branches_of_another_s_file_become_containers(tmp_path: Path, rng, name: str):
    nodes, shape, arrays, layers = READ[name]
    rank = 2 if nodes[-1].op_type == "Flatten" else None
    path = written(tmp_path / "model.onnx", nodes, shape, rank, **arrays)
    network = nnx.interop.onnx.load(path)
    assert kinds(network.layers) == layers
    x = rng.standard_normal((ROWS, *shape)).astype(np.float32)
    np.testing.assert_allclose(network.predict(x), run(path, x), rtol=5e-6, atol=5e-6)


def test_rows_with_axes_of_unknown_length_are_vectors(tmp_path: Path, rng):
    path = written(tmp_path / "model.onnx", [node("MatMul", "x", "W")], ("T", 5), W=W)
    with pytest.warns(UserWarning, match=r"x\.reshape\(-1, 5\)"):
        network = nnx.interop.onnx.load(path)
    x = rng.standard_normal((2, 3, 5)).astype(np.float32)
    np.testing.assert_allclose(
        network.predict(x.reshape(-1, 5)).reshape(x.shape), run(path, x), rtol=5e-6, atol=5e-6
    )


def deep(levels: int) -> list[Any]:
    """Sums inside sums: each branch holds the next."""
    there = [node("Tanh", f"d{i}" if i else "x", to=f"d{i + 1}") for i in range(levels)]
    back = [
        node(
            "Add",
            f"u{i + 1}" if i + 1 < levels else f"d{levels}",
            f"d{i}" if i else "x",
            to=f"u{i}" if i else "y",
        )
        for i in reversed(range(levels))
    ]
    return [*there, *back]


REFUSED: dict[str, tuple[list[Any], tuple[Any, ...], dict[str, Any]]] = {
    "node 'Concat_y' (Concat): it works on axis 1 of 3": (
        [node("Relu", "x", to="a"), node("Concat", "x", "a", axis=1)], (2, 5), {}
    ),
    "node 'Sum_y' (Sum): it joins data and constants": (
        [node("Relu", "x", to="a"), node("Sum", "x", "a", "c")], (5,), {"c": numbers(5)}
    ),
    "node 'Add_y' (Add): its branches share node 'Relu_a' (Relu)": (
        [node("Relu", "x", to="a"), node("Tanh", "x", to="t"), node("Add", "a", "t", to="s"),
         node("Tanh", "a", to="u"), node("Add", "s", "u")], (5,), {}
    ),
    "which meet at node 'Mul_y' (Mul)": (
        [node("Tanh", "x", to="a"), node("Relu", "x", to="s"), node("Mul", "a", "s")], (5,), {}
    ),
    "rows of shape (2,), but its input has (1,)": (
        [node("MatMul", "x", "W", to="a"), node("Add", "a", "x")], (1,), {"W": numbers(1, 2)}
    ),
    "nested more than 50 deep": (deep(60), (5,), {}),
    "nnx's layers keep rows apart": ([node("Reshape", "x", "s")], (4, 5), {"s": np.array([-1, 2, 5])}),
    "node 'Transpose_y' (Transpose): nnx has no layer": (
        [node("Transpose", "x", perm=[0, 2, 1])], (4, 5), {}
    ),
    "too many": (
        [node("Concat", *[f"c{i}" if i else "x"] * 2, to=f"c{i + 1}" if i < 29 else "y", axis=-1)
         for i in range(30)],
        (5,), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_no_container_computes_is_refused_with_its_node(tmp_path: Path, text: str):
    nodes, shape, arrays = REFUSED[text]
    with pytest.raises(nnx.FileFormatError) as caught:
        nnx.interop.onnx.load(written(tmp_path / "model.onnx", nodes, shape, **arrays))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------- others' Keras models


def keras_models(keras: Any) -> dict[str, tuple[Any, list[Any]]]:
    layers = keras.layers
    x, image = keras.Input((5,)), keras.Input((4, 4, 3))
    inside = keras.Sequential([keras.Input((5,)), layers.Dense(5, "tanh")], name="inside")
    h = layers.Dense(5)(x)
    patch = layers.Reshape((16, 3))(image)
    normal = layers.LayerNormalization(axis=2)(patch)
    return {
        "the shortcut first": (
            keras.Model(x, layers.Add()([x, layers.Dense(5)(layers.ReLU()(x))])),
            [("Residual", [["ReLU", "Dense"], []])],
        ),
        "operators": (keras.Model(x, layers.ReLU()(h + x)), [("Residual", [["Dense"], []]), "ReLU"]),
        "three terms": (
            keras.Model(x, layers.Add()([h, x, layers.ReLU()(x)])),
            [("Residual", [[("Residual", [["Dense"], []])], ["ReLU"]])],
        ),
        "a model in a branch": (
            keras.Model(x, layers.Concatenate()([inside(x), layers.Dropout(0.5)(x), h])),
            [("Concatenate", [["Dense", "Tanh"], ["Dropout"], ["Dense"]])],
        ),
        "images": (
            keras.Model(
                image, layers.Dense(2)(layers.Flatten()(layers.Add()([patch, layers.Dense(3)(normal)])))
            ),
            ["Reshape", ("Residual", [["LayerNorm", "Dense"], []]), "Flatten", "Dense"],
        ),
    }


@pytest.mark.keras
def test_branches_of_a_keras_model_become_containers(keras, tmp_path: Path, rng):
    for name, (model, layers) in keras_models(keras).items():
        model.save(tmp_path / "model.keras")
        x = rng.standard_normal((ROWS, *model.input_shape[1:])).astype(np.float32)
        expected = keras.ops.convert_to_numpy(model(x, training=False))
        read = nnx.interop.keras.from_keras(model)
        assert kinds(read.layers) == layers, name
        for network in (read, nnx.interop.keras.load(tmp_path / "model.keras")):
            np.testing.assert_allclose(network.predict(x), expected, rtol=5e-6, atol=5e-6, err_msg=name)


@pytest.mark.keras
def test_joins_that_no_container_computes_are_named(keras):
    layers = keras.layers
    x, y = keras.Input((2, 5)), keras.Input((5,))
    shared = layers.ReLU(name="shared")(y)
    other = layers.Activation("tanh", name="other")(y)
    both = layers.Add(name="first")([shared, other])
    for text, model in {
        r"layer joined .Concatenate.: .* not axis 1": keras.Model(
            x, layers.Concatenate(axis=1, name="joined")([x, layers.ReLU()(x)])
        ),
        r"meet at second share the layer shared": keras.Model(
            y, layers.Add(name="second")([both, layers.Dense(5)(shared)])
        ),
        r"layer wide .Add.: .*rows of shape \(1,\), but its input has \(5,\)": keras.Model(
            y, layers.Add(name="wide")([layers.Dense(1)(y), y])
        ),
    }.items():
        with pytest.raises(nnx.ConfigurationError, match=text) as caught:
            nnx.interop.keras.from_keras(model)
        assert "\n" not in str(caught.value)


@pytest.mark.keras
def test_a_small_keras_file_cannot_ask_for_much_memory(keras, tmp_path: Path):
    network = nnx.Network([nnx.Concatenate([[], []]), D(2)]).build(4)
    nnx.interop.keras.export(network, tmp_path / "good.keras")

    def change(described: dict[str, Any]) -> None:
        described["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**9]

    with zipfile.ZipFile(tmp_path / "good.keras") as old, zipfile.ZipFile(tmp_path / "bad.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                described = json.loads(content)
                change(described)
                content = json.dumps(described).encode()
            new.writestr(name, content)
    with pytest.raises(nnx.FileFormatError, match="4,000,000,000 numbers"):
        nnx.interop.keras.load(tmp_path / "bad.keras")
