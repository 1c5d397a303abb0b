"""Compiled exponentials are right to their last digits, and activations are shared among threads."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS

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


def test_the_exponential_less_one_is_right_near_zero_too() -> None:
    expm1 = numba.vectorize(lambda x: activations_numba.expm1_float32(x))
    x = np.concatenate([np.linspace(-90.0, 0.0, 2_000_001), -np.logspace(-37, 0, 1001)]).astype(np.float32)
    exact = np.expm1(x.astype(np.float64))
    assert np.max(np.abs(expm1(x) - exact) - 2 * np.finfo(np.float32).eps * np.abs(exact)) <= 0.0
    with np.errstate(invalid="ignore"):
        assert np.isnan(expm1(np.float32(np.nan)))


@pytest.mark.parametrize("kind", activations_numba.SHARED)
def test_activations_of_an_array_that_threads_share(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str
) -> None:
    x = 5.0 * rng.standard_normal((401, 99))
    x[3, :2] = 1e4, -1e4
    assert x.size >= base_numba.SMALL_ARRAY
    forward = {"kind": kind, "x": x, "y": room(*x.shape)}
    y = agree(compiled, "activation_forward", dtype, forward, ("y",))["y"]
    backward = {"kind": kind, "dy": rng.standard_normal(x.shape), "x": x, "y": y.astype(float)}
    agree(compiled, "activation_backward", dtype, backward | {"dx": room(*x.shape)}, ("dx",))
    if ACTIVATIONS[kind].from_output:
        without_x = backward | {"x": None, "dx": room(*x.shape)}
        agree(compiled, "activation_backward", dtype, without_x, ("dx",))
    whole = x.astype(dtype)
    whole[7, 5] = np.nan
    compiled.activation_forward(kind, whole, whole)
    np.testing.assert_array_equal(np.argwhere(np.isnan(whole)), [[7, 5]])
    whole[7, 5] = y[7, 5]
    np.testing.assert_array_equal(whole, y)
