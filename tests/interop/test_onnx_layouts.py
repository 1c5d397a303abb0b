"""Files whose images have channels first, as PyTorch's, become networks with channels last.

The network takes x.transpose(0, 2, 3, 1), and gives channels last too; warnings say both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_branches import kinds, node, numbers, written
from support.onnx_graphs import run, with_notes

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
W, W2, V = numbers(4, 3, 3, 3), numbers(4, 4, 3, 3), numbers(4, 4, 1, 1)
b, one, each = numbers(4), np.array([0.5], np.float32), numbers(1, 4, 1, 1)
PADS = {"pads": [1, 1, 1, 1]}
conv = node("Conv", "x", "W", "b", to="c", **PADS)
C, D = "Conv2D", "Dense"
statistics = {"g": numbers(4), "v": np.abs(numbers(4)) + 1}

READ: dict[str, tuple[list[Any], tuple[int, ...], dict[str, Any], list[Any]]] = {
    "Flatten and Gemm": (
        [conv, node("Relu", "c", to="r"), node("MaxPool", "r", to="p", kernel_shape=[2, 2], strides=[2, 2]),
         node("Flatten", "p", to="f"), node("Gemm", "f", "M", "o", transB=1)],
        (3, 6, 4), {"W": W, "b": b, "M": numbers(5, 24), "o": numbers(5)},
        [C, "ReLU", "MaxPool2D", "Flatten", D],
    ),
    "Reshape by the shape, then a normalization before the product": (
        [conv, node("Reshape", "c", "s", to="f"), node("Relu", "f", to="r"),
         node("BatchNormalization", "r", "g", "h", "h", "v", to="n"), node("Mul", "n", "h", to="m"),
         node("MatMul", "m", "M", to="k"), node("Tanh", "k")],
        (3, 3, 2), {"W": W, "b": b, "s": np.array([0, -1]), "g": numbers(24), "h": numbers(24) ** 2 + 1,
                    "v": numbers(24) ** 2 + 1, "M": numbers(24, 5)},
        [C, "Flatten", "ReLU", "BatchNorm", D, "Tanh"],
    ),
    "a decoder: Gemm, Reshape, transposed convolutions": (
        [node("Gemm", "x", "M", "o", to="g"), node("Relu", "g", to="r"), node("Reshape", "r", "s", to="i"),
         node("ConvTranspose", "i", "T", to="t", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
              output_padding=[1, 1]),
         node("Sigmoid", "t")],
        (5,), {"M": numbers(5, 24), "o": numbers(24), "s": np.array([-1, 4, 3, 2]),
               "T": numbers(4, 2, 3, 3)},
        [D, "ReLU", "Reshape", "Conv2DTranspose", "Sigmoid"],
    ),
    "flattened and unflattened": (
        [conv, node("Flatten", "c", to="f"), node("Tanh", "f", to="t"), node("Reshape", "t", "s", to="i"),
         node("Conv", "i", "V")],
        (3, 3, 2), {"W": W, "b": b, "s": np.array([0, 4, 3, 2]), "V": V},
        [C, "Flatten", "Tanh", "Reshape", C],
    ),
    "scaled before and between": (
        [node("Sub", "x", "m", to="s"), node("Div", "s", "d", to="t"), node("Conv", "t", "W", to="c"),
         node("Add", "c", "e", to="a"), node("PRelu", "a", "p", to="q"), node("Mul", "q", "e", to="z"),
         node("Clip", "z", "zero", "six")],
        (3, 5, 4), {"m": numbers(3, 1, 1), "d": numbers(1, 3, 1, 1) + 4, "W": W, "e": each,
                    "p": np.full((4, 1, 1), 0.25, np.float32), "zero": np.float32(0), "six": np.float32(6)},
        ["Rescale", C, "PReLU", "Rescale", "ReLU", "Rescale", "ReLU", "Rescale"],
    ),
    "GELU written out between convolutions": (
        [conv, node("Div", "c", "r", to="h"), node("Erf", "h", to="e"), node("Add", "e", "one", to="p"),
         node("Mul", "c", "p", to="q"), node("Mul", "q", "half", to="g"), node("Conv", "g", "V")],
        (3, 4, 4), {"W": W, "b": b, "r": np.array(2**0.5, np.float32), "one": np.ones(1, np.float32),
                    "half": one, "V": V},
        [C, "GELU", C],
    ),
    "a residual block with a normalization, and the mean": (
        [node("BatchNormalization", "x", "g", "b", "b", "v", to="n"), node("Conv", "n", "V", to="h"),
         node("Relu", "h", to="k"), node("Add", "x", "k", to="z"), node("GlobalAveragePool", "z", to="m"),
         node("Flatten", "m", to="f"), node("Gemm", "f", "M")],
        (4, 3, 2), {**statistics, "b": b, "V": V, "M": numbers(4, 2)},
        [("Residual", [["BatchNorm", C, "ReLU"], []]), "GlobalAveragePool2D", D],
    ),
    "two ways joined by channels, softmax over them": (
        [node("Conv", "x", "W", to="c"), node("Conv", "x", "U", to="u"),
         node("Concat", "c", "u", to="j", axis=1), node("Softmax", "j", axis=1)],
        (3, 5, 4), {"W": W, "U": numbers(2, 3, 3, 3)},
        [("Concatenate", [[C], [C]]), "Softmax"],
    ),
    "the mean over the last axes, as from x.mean((2, 3))": (
        [conv, node("ReduceMean", "c", "at", to="m", keepdims=0), node("MatMul", "m", "M")],
        (3, 4, 3), {"W": W, "b": b, "at": np.array([2, 3]), "M": numbers(4, 2)},
        [C, "GlobalAveragePool2D", D],
    ),
    "channels last at both ends": (
        [node("Transpose", "x", to="t", perm=[0, 3, 1, 2]), node("Conv", "t", "W", "b", to="c"),
         node("Transpose", "c", to="u", perm=[0, 2, 3, 1]), node("MatMul", "u", "M", to="m"),
         node("Relu", "m")],
        (5, 4, 3), {"W": W, "b": b, "M": numbers(4, 2)}, [C, D, "ReLU"],
    ),
    "grey images that lack the axis of channels": (
        [node("Unsqueeze", "x", "at", to="i"), node("Conv", "i", "G", to="c"), node("Flatten", "c", to="f"),
         node("MatMul", "f", "M")],
        (4, 4), {"at": np.array([1]), "G": numbers(2, 1, 3, 3), "M": numbers(8, 2)},
        ["Reshape", C, "Flatten", D],
    ),
    "a Reshape in place of a Transpose, as from tf2onnx": (
        [node("Reshape", "x", "s", to="i"), node("Conv", "i", "G", to="c"), node("Conv", "c", "H", to="d"),
         node("Reshape", "d", "t")],
        (4, 4, 1), {"s": np.array([-1, 1, 4, 4]), "G": numbers(2, 1, 1, 1), "H": numbers(1, 2, 1, 1),
                    "t": np.array([-1, 4, 4, 1])},
        [C, C],
    ),
    "sequences": (
        [node("Conv", "x", "S", to="c", pads=[1, 1]), node("Relu", "c", to="r"),
         node("Transpose", "r", to="t", perm=[0, 2, 1]), node("LayerNormalization", "t", "g", to="n"),
         node("Transpose", "n", to="u", perm=[0, 2, 1]),
         node("AveragePool", "u", to="p", kernel_shape=[2], strides=[2]), node("Flatten", "p", to="f"),
         node("Gemm", "f", "M")],
        (3, 6), {"S": numbers(4, 3, 3), "g": numbers(4), "M": numbers(12, 2)},
        ["Conv1D", "ReLU", "LayerNorm", "AveragePool1D", "Flatten", D],
    ),
    "two Transposes of one value": (
        [node("Transpose", "x", to="t", perm=[0, 3, 1, 2]), node("Conv", "t", "W", to="c"),
         node("Conv", "t", "W", to="d"), node("Concat", "c", "d", to="j", axis=1),
         node("Transpose", "j", to="k", perm=[0, 2, 3, 1]), node("Relu", "k")],
        (4, 4, 3), {"W": W}, [("Concatenate", [[C], [C]]), "ReLU"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_file_with_channels_first_is_computed_alike(tmp_path: Path, rng, name: str):
    nodes, shape, arrays, layers = READ[name]
    rank = {"Softmax": 4, "Relu": 4, "Clip": 4, "Conv": 4, "Sigmoid": 4, "Reshape": 4}.get(
        nodes[-1].op_type, 2
    )
    path = written(tmp_path / "model.onnx", nodes, shape, rank, **arrays)
    network, said = with_notes(path)
    assert kinds(network.layers) == layers
    x = rng.standard_normal((5, *shape)).astype(np.float32)
    moved = network.input_shape != shape
    assert [text for text in said if "input has channels on axis 1" in text] == [
        f"its input has channels on axis 1: the network takes them last, x.transpose({axes})"
        for axes in (["0, 2, 3, 1" if len(shape) == 3 else "0, 2, 1"] if moved else [])
    ]
    y = network.predict(np.moveaxis(x, 1, -1) if moved else x)
    expected = run(path, x)
    if any("output has channels on axis 1" in text for text in said):
        expected = np.moveaxis(expected, 1, -1)
    np.testing.assert_allclose(y, expected, **CLOSE)


REFUSED: dict[str, tuple[list[Any], tuple[Any, ...], dict[str, Any]]] = {
    "its output has the features of images of (4, 4, 2), with channels first": (
        [conv, node("Flatten", "c")], (3, 4, 2), {"W": W, "b": b}
    ),
    "it makes images of (4, 3, 2), with channels first, from features that no Dense layer gives": (
        [node("Reshape", "x", "s", to="i"), node("Conv", "i", "V")], (24,),
        {"s": np.array([-1, 4, 3, 2]), "V": V},
    ),
    "node 'Reshape_i' (Reshape): it makes rows of (3, 4, 2) from rows of (4, 3, 2) with channels first": (
        [node("Conv", "x", "V", to="c"), node("Reshape", "c", "s", to="i"), node("Conv", "i", "Q")],
        (4, 3, 2), {"V": V, "s": np.array([-1, 3, 4, 2]), "Q": numbers(1, 3, 1, 1)},
    ),
    "node 'MatMul_y' (MatMul): its product is over another axis than the channels": (
        [conv, node("MatMul", "c", "M")], (3, 4, 2), {"W": W, "b": b, "M": numbers(2, 2)}
    ),
    "it works on axis -1 of 4: nnx's layers work on the channels": (
        [conv, node("Softmax", "c", axis=-1)], (3, 4, 2), {"W": W, "b": b}
    ),
    "node 'Add_y' (Add): its array": (
        [conv, node("Add", "c", "row")], (3, 4, 2), {"W": W, "b": b, "row": numbers(2)}
    ),
    "node 'Transpose_t' (Transpose): it moves the axis of rows": (
        [node("Transpose", "x", to="t", perm=[1, 0, 2, 3]), node("Relu", "t")], (3, 4, 2), {}
    ),
    "node 'Relu_y' (Relu): its data have their axes in the order (0, 2, 1, 3)": (
        [node("Transpose", "x", to="t", perm=[0, 2, 1, 3]), node("Relu", "t")], (3, 4, 2), {}
    ),
    "node 'Add_y' (Add): its data have their axes in different orders": (
        [node("Transpose", "x", to="t", perm=[0, 2, 1]), node("Add", "x", "t")], (4, 4), {}
    ),
    "(Conv): the size of its images is open": ([conv], (3, "H", "W"), {"W": W, "b": b}),
    "node 'BatchNormalization_n' (BatchNormalization): its data have 3 axes": (
        [node("MatMul", "x", "M", to="m"), node("BatchNormalization", "m", *"gbbv", to="n")], (4, 4),
        {"M": numbers(4, 4), **statistics, "b": b},
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_an_order_of_axes_that_nnx_cannot_follow_is_refused(tmp_path: Path, text: str):
    nodes, shape, arrays = REFUSED[text]
    nodes[-1].output[0] = "y"
    rank = {"Flatten": 2, "Conv": 4}.get(nodes[-1].op_type)
    with pytest.raises(nnx.FileFormatError) as caught:
        exchange.load(written(tmp_path / "model.onnx", nodes, shape, rank, **arrays))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
