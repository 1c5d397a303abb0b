"""Random ONNX graphs: read with the numbers of ONNX Runtime, or refused with a line that names a node.

Tolerance: formulas are added up and multiplied out in another order than the file's, in float32.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import nnx

pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnxruntime")

import onnx
import onnxruntime as runtime
from support.onnx_random_graphs import graph

pytestmark = pytest.mark.usefixtures("on_cpu")
GRAPHS = 250
CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def computed(model, x):
    """What ONNX Runtime computes, operator by operator; None for a graph that is not valid."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]
    except Exception:
        return None


def test_valid_graphs_are_read_as_they_compute_or_refused(tmp_path: Path):
    path = tmp_path / "model.onnx"
    outcomes = Counter()
    for seed in range(GRAPHS):
        model, x = graph(seed)
        try:
            model = onnx.shape_inference.infer_shapes(model)
        except onnx.shape_inference.InferenceError:
            continue
        y = computed(model, x)
        if y is None:
            continue
        onnx.save(model, path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of shapes
                network = nnx.interop.onnx.load(path)
        except nnx.FileFormatError as error:
            text = str(error).removeprefix(f"{path}")
            assert "\n" not in text, seed
            assert any(word in text for word in ("node '", "width of its input", "ValidationError")), (
                seed,
                text,
            )
            outcomes["refused"] += 1
            continue
        with np.errstate(all="ignore"):
            own = network.predict(x)
        assert own.size == y.size, seed
        np.testing.assert_allclose(own.reshape(y.shape), y, **CLOSE, err_msg=f"graph {seed}")
        outcomes["read"] += 1
    assert outcomes["read"] > GRAPHS // 5, outcomes
    assert outcomes["refused"] > GRAPHS // 5, outcomes
