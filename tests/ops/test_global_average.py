"""The average over all positions: every backend computes the plain form, and rounding stays small."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ORACLE, agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 20, 4), (2, 500, 3)])
def test_global_average(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    x, dy = rng.standard_normal(shape), rng.standard_normal((shape[0], shape[2]))
    y = ORACLE.global_average_forward(x, room(*dy.shape))
    np.testing.assert_allclose(y, x.mean(axis=1), rtol=1e-12, atol=1e-14)
    dx = ORACLE.global_average_backward(dy, room(*shape))
    np.testing.assert_allclose(dx, np.broadcast_to(dy[:, None] / shape[1], shape), rtol=1e-14)
    forward = {"x": x, "y": room(*dy.shape)}
    agree(backend, "global_average_forward", dtype, forward, ("y",), terms=shape[1])
    agree(backend, "global_average_backward", dtype, {"dy": dy, "dx": room(*shape)}, ("dx",))


def test_many_positions_in_float32(backend: Backend) -> None:
    """One by one, a sum of 200,000 equal numbers would be off by more than 1e-4."""
    x = backend.asarray(np.full((1, 200_000, 2), 0.1, np.float32))
    y = backend.global_average_forward(x, backend.empty((1, 2), np.float32))
    np.testing.assert_allclose(backend.to_numpy(y), 0.1, rtol=1e-5)


def test_a_nan_stays_in_its_channel(backend: Backend) -> None:
    x = np.ones((2, 9, 3), np.float32)
    x[1, 4, 2] = np.nan
    with backend.quiet():
        y = backend.global_average_forward(backend.asarray(x), backend.empty((2, 3), np.float32))
    np.testing.assert_array_equal(np.isnan(backend.to_numpy(y)), [[False] * 3, [False, False, True]])
