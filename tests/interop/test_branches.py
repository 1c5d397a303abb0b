"""Branches that start at one value become containers, in ONNX and Keras; others are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_branches import ROWS, kinds, node, numbers, run, written

import nnx

pytestmark = [
    pytest.mark.usefixtures("on_cpu"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy"),  # in Keras itself
]

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


@pytest.mark.parametrize("name", READ)
def test_branches_of_another_s_file_become_containers(tmp_path: Path, rng, name: str):
    nodes, shape, arrays, layers = READ[name]
    rank = 2 if nodes[-1].op_type == "Flatten" else None
    path = written(tmp_path / "model.onnx", nodes, shape, rank, **arrays)
    network = nnx.interop.onnx.load(path)
    assert kinds(network.layers) == layers
    x = rng.standard_normal((ROWS, *shape)).astype(np.float32)
    np.testing.assert_allclose(network.predict(x), run(path, x), rtol=5e-6, atol=5e-6)


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
