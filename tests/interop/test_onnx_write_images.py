"""Networks with layers on images go to ONNX and come back: as ONNX Runtime computes, and with few Transposes.

In float32 both programs round each number by 6e-8 of its size, in another order. Kernels here sum at most 100
products of numbers below 4, and networks have up to 11 layers; 1e-5 is enough for all. In float64, the
standard's own evaluator computes, because ONNX Runtime has convolutions in float32 only, and agrees to 1e-12.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.image_networks import WHOLE, made, single
from support.onnx_graphs import run

import nnx
from nnx.interop import onnx as exchange

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'nnx-arrays[onnx]'")
pytestmark = pytest.mark.usefixtures("on_cpu")
SINGLE = single()
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def same(back: nnx.Network, network: nnx.Network, x: np.ndarray) -> None:
    """See that two networks have the same layers, values and outputs."""
    kinds = [nnx.Dropout if isinstance(one, nnx.Dropout) else type(one) for one in network.layers]
    assert [type(one) for one in back.layers] == kinds
    assert back.parameter_count() == network.parameter_count()
    assert back.input_shape == network.input_shape
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.parametrize("name", SINGLE)
def test_a_layer_is_computed_alike_by_onnx_runtime(tmp_path: Path, rng, name: str):
    network, x = made(*SINGLE[name], rng)
    exchange.export(network, tmp_path / "model.onnx")
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), network.predict(x), **CLOSE)
    back = exchange.load(tmp_path / "model.onnx")
    same(back, network, x)
    described, told = network[0].config(), back[0].config()
    if described.get("padding") == "same" and told["padding"] == "valid":  # where both compute the same
        described["padding"] = "valid"
    assert told == described


@pytest.mark.parametrize("name", WHOLE)
def test_a_network_is_computed_alike_by_onnx_runtime(tmp_path: Path, rng, name: str):
    network, x = made(*WHOLE[name], rng)
    exchange.export(network, tmp_path / "model.onnx")
    for rows in (x, x[:1]):
        np.testing.assert_allclose(run(tmp_path / "model.onnx", rows), network.predict(rows), **CLOSE)
    same(exchange.load(tmp_path / "model.onnx"), network, x)


@pytest.mark.parametrize("name", ["LeNet", "autoencoder", "residual"])
def test_float64_agrees_with_the_evaluator_of_the_standard(tmp_path: Path, rng, name: str):
    from onnx.reference import ReferenceEvaluator

    network, x = made(*WHOLE[name], rng, "float64")
    exchange.export(network, tmp_path / "model.onnx")
    (y,) = ReferenceEvaluator(str(tmp_path / "model.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(y, network.predict(x), rtol=1e-12, atol=1e-12)


def test_a_trained_network_and_its_encoder_run_elsewhere(tmp_path: Path, rng):
    network, x = made(*WHOLE["autoencoder"], rng)
    network.encoder_length = 6
    network.fit(
        x, np.tanh(x[..., :1]), loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(1e-2), epochs=5, batch_size=5
    )
    for part, name in ((network, "whole.onnx"), (network[:7], "encoder.onnx")):
        exchange.export(part, tmp_path / name)
        np.testing.assert_allclose(run(tmp_path / name, x), part.predict(x), **CLOSE)
        same(exchange.load(tmp_path / name), part, x)
    back = exchange.load(tmp_path / "whole.onnx")
    assert back.encoder_length == 6
    np.testing.assert_array_equal(back[:6].predict(x), network[:6].predict(x))


TRANSPOSES = {"LeNet": 2, "autoencoder": 4, "residual": 5, "sentences": 3, "words": 0, "normalized first": 2}


@pytest.mark.parametrize("name", TRANSPOSES)
def test_a_transpose_is_only_where_the_order_of_axes_changes(tmp_path: Path, rng, name: str):
    network, _ = made(*WHOLE[name], rng)
    exchange.export(network, tmp_path / "model.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert kinds.count("Transpose") == TRANSPOSES[name]
    if name == "LeNet":
        assert kinds == [
            "Transpose", "Conv", "Tanh", "AveragePool", "Conv", "Tanh", "AveragePool", "Transpose", "Flatten",
            "Gemm", "Tanh", "Gemm", "Softmax",
        ]  # fmt: skip


def test_an_embedding_takes_whole_numbers(tmp_path: Path, rng):
    network, _ = made(*WHOLE["words"], rng)
    exchange.export(network, tmp_path / "model.onnx")
    (source,) = onnx.load(tmp_path / "model.onnx").graph.input
    assert source.type.tensor_type.elem_type == onnx.TensorProto.INT64
