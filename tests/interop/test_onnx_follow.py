"""Casts and changes of shape are followed through a graph, and a loss of digits is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.onnx_graphs import CLOSE, ROWS, WIDTH, float32, node, run, with_notes, written

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")


def test_an_output_without_an_axis_of_features_is_a_column(tmp_path: Path, rng):
    nodes = [node("MatMul", "x", "W", to="h"), node("Squeeze", "h", "axis", to="s"), node("Sigmoid", "s")]
    path = written(tmp_path / "model.onnx", nodes, {"W": float32(WIDTH, 1), "axis": np.array([1])}, rank=1)
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    network, said = with_notes(path)
    (text,) = said
    assert "(rows,)" in text
    assert "(rows, 1)" in text
    np.testing.assert_allclose(network.predict(x)[:, 0], run(path, x), **CLOSE)
    nodes[-1] = node("Softmax", "s", axis=-1)  # over the rows
    written(path, nodes, {"W": float32(WIDTH, 1), "axis": np.array([1])}, rank=1)
    with pytest.raises(nnx.FileFormatError, match=r"\(rows,\)"):
        exchange.load(path)


def test_what_is_cast_to_float64_is_computed_in_it(tmp_path: Path, rng):
    cast = onnx.helper.make_node
    nodes = [node("Sub", "x", "m", to="h"), cast("Cast", ["h"], ["f"], to=1), node("MatMul", "f", "W")]
    path = written(tmp_path / "model.onnx", nodes, {"m": np.full(WIDTH, 1e9), "W": float32(WIDTH, 3)},
                   kind=onnx.TensorProto.DOUBLE, gives=1)  # fmt: skip
    x = 1e9 + rng.standard_normal((ROWS, WIDTH))
    network, said = with_notes(path)
    (text,) = said
    assert "float32 and float64" in text
    assert network.dtype == np.float64
    np.testing.assert_allclose(network.predict(x), run(path, x), **CLOSE)


def test_whole_numbers_that_are_cast_at_once_are_rows(tmp_path: Path):
    nodes = [onnx.helper.make_node("Cast", ["x"], ["f"], to=1), node("MatMul", "f", "W")]
    path = written(
        tmp_path / "model.onnx", nodes, {"W": float32(WIDTH, 3)}, kind=onnx.TensorProto.INT64, gives=1
    )
    x = np.arange(ROWS * WIDTH).reshape(ROWS, WIDTH)
    np.testing.assert_allclose(exchange.load(path).predict(x), run(path, x), **CLOSE)


def test_rounding_to_another_type_is_refused(tmp_path: Path):
    for kind in (onnx.TensorProto.FLOAT16, onnx.TensorProto.INT32):
        nodes = [onnx.helper.make_node("Cast", ["x"], ["i"], to=kind, name="first"),
                 onnx.helper.make_node("Cast", ["i"], ["f"], to=1), node("Relu", "f")]  # fmt: skip
        with pytest.raises(nnx.FileFormatError, match=r"node 'first' \(Cast\): .*(float16|int32)"):
            exchange.load(written(tmp_path / "model.onnx", nodes, {}))
