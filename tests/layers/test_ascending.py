"""Ascending: closed forms, order at every size of number, and an exported model's refusal."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.interop import onnx as to_onnx


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3)])
def test_it_adds_up_softplus(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, dy = rng.standard_normal((2, *shape))
    layer = nnx.Ascending()
    steps = np.log1p(np.exp(x))
    steps[..., 0] = x[..., 0]
    np.testing.assert_allclose(layer.forward(x), np.cumsum(steps, axis=-1), rtol=1e-14)
    later = np.cumsum(dy[..., ::-1], axis=-1)[..., ::-1]
    slopes = 1.0 / (1.0 + np.exp(-x))
    slopes[..., 0] = 1.0
    np.testing.assert_allclose(layer.backward(dy), later * slopes, rtol=1e-13)


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_the_numbers_never_descend(rng: np.random.Generator, dtype: np.dtype, device: str) -> None:
    x = (rng.standard_normal((2000, 7)) * 10.0 ** rng.uniform(-10.0, 10.0, (2000, 7))).astype(dtype)
    network = nnx.Network([nnx.Ascending()], device=device, dtype=dtype).build(7)
    y = network.predict(x)
    assert np.isfinite(y).all()
    assert (np.diff(y, axis=1) >= 0.0).all()


def test_it_is_not_written_to_onnx(tmp_path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    network = nnx.Network([nnx.Dense(2, 3), nnx.Ascending()], seed=0)
    with pytest.raises(nnx.errors.NnxError, match=r"Ascending|ascending"):
        to_onnx.export(network, tmp_path / "quantiles.onnx")
