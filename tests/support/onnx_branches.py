"""ONNX files whose rows have any shape, what programs compute from them, and the layers that nnx reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")

ROWS = 7


def close(dtype: Any) -> dict[str, float]:
    size = 1e-12 if np.dtype(dtype) == np.float64 else 5e-6
    return {"rtol": size, "atol": size}


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """The output of ONNX Runtime, which must be that of the standard's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    (reference,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    np.testing.assert_allclose(y, reference, **close(x.dtype))
    return y


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


def kinds(layers: Any) -> list[Any]:
    return [
        (type(layer).__name__, list(map(kinds, layer.branches))) if layer.branches else type(layer).__name__
        for layer in layers
    ]
