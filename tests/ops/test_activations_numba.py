"""The compiled exponential is right to its last digits, at its ends too; SiLU is shared among threads."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends import Backend

numba = pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops import activations_numba, base_numba  # noqa: E402


def test_the_exponential_is_right_to_two_units_in_the_last_place() -> None:
    exp = numba.vectorize(lambda x: activations_numba.exp_float32(x))
    x = np.linspace(-87.0, 0.0, 2_000_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    assert np.max(np.abs(exp(x) / exact - 1.0)) < 2 * np.finfo(np.float32).eps
    assert exp(np.float32(0.0)) == 1.0
    with np.errstate(invalid="ignore"):
        assert np.isnan(exp(np.float32(np.nan)))
    assert exp(np.float32(-1e30)) == 0.0
    assert exp(np.float32(-87.3)) > 0.0


def test_silu_of_an_array_that_threads_share(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator
) -> None:
    x = 5.0 * rng.standard_normal((401, 99))
    x[3, :2] = 1e4, -1e4
    assert x.size >= base_numba.SMALL_ARRAY
    forward = {"kind": "silu", "x": x, "y": room(*x.shape)}
    y = agree(compiled, "activation_forward", dtype, forward, ("y",))["y"]
    backward = {"kind": "silu", "dy": rng.standard_normal(x.shape), "x": x, "y": y.astype(float)}
    agree(compiled, "activation_backward", dtype, backward | {"dx": room(*x.shape)}, ("dx",))
    whole = x.astype(dtype)
    whole[7, 5] = np.nan
    compiled.activation_forward("silu", whole, whole)
    np.testing.assert_array_equal(np.argwhere(np.isnan(whole)), [[7, 5]])
    whole[7, 5] = y[7, 5]
    np.testing.assert_array_equal(whole, y)
