"""A file that nnx writes says what it holds, and computes what the network computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.onnx_graphs import CLOSE, ROWS, WIDTH, deep, run
from support.small_networks import randomized

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")


def test_a_deep_network_its_slices_and_what_the_file_says_of_itself(rng, tmp_path: Path, dtype):
    network = randomized(deep(dtype), rng)
    x = rng.standard_normal((ROWS, WIDTH)).astype(dtype)
    for part, name in ((network, "whole.onnx"), (network[:5], "encoder.onnx"), (network[5:], "decoder.onnx")):
        data = x if part is not network[5:] and name != "decoder.onnx" else network[:5].predict(x)
        exchange.export(part, tmp_path / name)
        np.testing.assert_allclose(run(tmp_path / name, data), part.predict(data), **CLOSE)
        np.testing.assert_array_equal(exchange.load(tmp_path / name).predict(data), part.predict(data))
    assert exchange.load(tmp_path / "whole.onnx").encoder_length == 5
    assert exchange.load(tmp_path / "encoder.onnx").encoder_length is None
    model = onnx.load(tmp_path / "whole.onnx")
    assert (model.producer_name, model.producer_version) == ("nnx", nnx.__version__)
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input] == ["batch"]
    assert [node.name for node in model.graph.node if node.op_type == "Gemm"] == [
        "dense_1",
        "dense_2",
        "dense_3",
    ]


def test_a_mean_far_from_zero_is_subtracted_first(tmp_path: Path, rng):
    """A scaling as a frozen layer: multiplied out in float32, 5 of its 7 digits would be lost."""
    norm, dense = nnx.BatchNorm(epsilon=1e-3), nnx.Dense(WIDTH, 3)
    network = randomized(nnx.Network([norm, dense]).build(WIDTH), rng)
    network.set_weights(network.weights() | {"batchnorm_1.running_mean": np.full(WIDTH, 1e5)})
    x = (1e5 + rng.standard_normal((ROWS, WIDTH))).astype(np.float32)
    exchange.export(network, tmp_path / "model.onnx")
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), network.predict(x), **CLOSE)
    np.testing.assert_allclose(exchange.load(tmp_path / "model.onnx").predict(x), network.predict(x), **CLOSE)
