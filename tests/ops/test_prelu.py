"""The rectifier with trained slopes: every backend equals the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ROWS, agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("rows", [*ROWS, 700])
def test_prelu(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int, strided: bool) -> None:
    x, dy = rng.standard_normal((2, rows, 9))
    alpha = rng.standard_normal(9)
    forward = {"x": x, "alpha": alpha, "y": room(rows, 9)}
    agree(backend, "prelu_forward", dtype, forward, ("y",), strided=strided)
    backward = {"dy": dy, "x": x, "alpha": alpha, "dalpha": room(9)}
    both = {**backward, "dx": room(rows, 9)}
    agree(backend, "prelu_backward", dtype, both, ("dalpha", "dx"), terms=rows, strided=strided)
    without = {**backward, "dx": None}
    agree(backend, "prelu_backward", dtype, without, ("dalpha",), terms=rows)


def test_nan_and_extremes_pass(backend: Backend, dtype: np.dtype) -> None:
    x = backend.asarray(np.array([[np.nan, 1e30, -1e30, 0.0]]), dtype)
    alpha = backend.asarray(np.array([0.5, 0.5, 0.5, 0.5]), dtype)
    y = backend.to_numpy(backend.prelu_forward(x, alpha, backend.empty(x.shape, dtype)))
    np.testing.assert_array_equal(y, np.array([[np.nan, 1e30, -5e29, 0.0]], dtype))
