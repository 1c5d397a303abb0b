"""Random ONNX graphs on images: read with the numbers of ONNX Runtime, or refused in one line.

Tolerance: up to fourteen operations in float32, relative to the largest number of the output.
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
from support.onnx_random_images import graph

pytestmark = pytest.mark.usefixtures("on_cpu")
GRAPHS = 60


def test_graphs_on_images_are_read_as_they_compute_or_refused(tmp_path: Path):
    path = tmp_path / "model.onnx"
    outcomes: Counter[str] = Counter()
    for seed in range(GRAPHS):
        model, x, y = graph(seed)
        if not model.graph.node:
            continue
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", UserWarning)
                network = nnx.interop.onnx.load(path)
        except nnx.FileFormatError as error:
            (line,) = str(error).splitlines()
            assert "not a valid ONNX file" not in line, (seed, line)
            outcomes["refused"] += 1
            continue
        told = " ".join(str(one.message) for one in said)
        own = network.predict(np.moveaxis(x, 1, -1) if "its input has channels" in told else x)
        y = np.moveaxis(y, 1, -1) if "its output has channels" in told else y
        largest = max(1.0, float(np.abs(y).max()))
        np.testing.assert_allclose(own, y, rtol=0, atol=1e-5 * largest, err_msg=f"graph {seed}")
        outcomes["read"] += 1
    assert outcomes["read"] > GRAPHS // 5, outcomes
    assert outcomes["refused"] > GRAPHS // 5, outcomes
