"""ONNX files of given nodes, and what ONNX Runtime computes from them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")

ROWS, WIDTH = 9, 5
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """The output that ONNX Runtime computes."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return y


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
    rank: int | None = None,
    gives: int | None = None,
) -> Path:
    """A file of these nodes between x and y, whose number of axes and type are stated where they differ."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, gives or kind, [f"d{i}" for i in range(rank or len(shape))])
         for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(model, path)
    return path


def node(kind: str, *inputs: str, to: str = "y", **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, list(inputs), [to], name=f"{kind}_{to}", **attributes)


def float32(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def with_notes(path: Path) -> tuple[nnx.Network, list[str]]:
    """A network read from a file, and what was said of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        network = exchange.load(path)
    assert all(str(one.message).startswith(f"{path}: ") and one.filename == __file__ for one in said)
    return network, [str(one.message).removeprefix(f"{path}: ") for one in said]


def deep(dtype: Any = "float32") -> nnx.Network:
    """An autoencoder of several kinds of layers, whose code is given by the fifth."""
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
    network.encoder_length = 5
    return network
