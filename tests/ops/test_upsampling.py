"""Upsampling: every backend copies as the plain form, and sums the copies."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ORACLE, agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 4, 2, 5), (2, 1, 7, 3)])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3), (3, 2)])
def test_upsampling(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    rows, height, width, channels = shape
    large = (rows, height * size[0], width * size[1], channels)
    x, dy = rng.standard_normal(shape), rng.standard_normal(large)
    y = ORACLE.upsample_forward(x, room(*large))
    np.testing.assert_array_equal(y, x.repeat(size[0], axis=1).repeat(size[1], axis=2))
    dx = ORACLE.upsample_backward(dy, room(*shape))
    assert np.vdot(dx, x) == pytest.approx(np.vdot(dy, y))  # one pass is the transpose of the other
    agree(backend, "upsample_forward", dtype, {"x": x, "y": room(*large)}, ("y",))
    agree(backend, "upsample_backward", dtype, {"dy": dy, "dx": room(*shape)}, ("dx",), terms=6)
