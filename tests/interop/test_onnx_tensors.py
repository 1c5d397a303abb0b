"""Weights are read from files in the model's folder, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.onnx_graphs import WIDTH, float32, node, written

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")


SQUARE = float32(WIDTH, WIDTH)


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
