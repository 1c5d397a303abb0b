"""Large arrays of the rectifier with trained slopes are shared among threads, and sums stay exact."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops import base_numba


@pytest.mark.parametrize("columns", [1, 33])
def test_large_arrays(compiled: Backend, dtype: np.dtype, rng: np.random.Generator, columns: int) -> None:
    rows = base_numba.SMALL_ARRAY // columns + 7
    x, dy = rng.standard_normal((2, rows, columns))
    alpha = rng.standard_normal(columns)
    forward = {"x": x, "alpha": alpha, "y": room(rows, columns)}
    agree(compiled, "prelu_forward", dtype, forward, ("y",))
    backward = {"dy": dy, "x": x, "alpha": alpha, "dalpha": room(columns)}
    both = {**backward, "dx": room(rows, columns)}
    agree(compiled, "prelu_backward", dtype, both, ("dalpha", "dx"), terms=rows)
    agree(compiled, "prelu_backward", dtype, {**backward, "dx": None}, ("dalpha",), terms=rows)


def test_a_sum_of_many_rows_keeps_its_digits(compiled: Backend) -> None:
    x, dy = np.full((200_000, 1), -1.0, np.float32), np.full((200_000, 1), 0.1, np.float32)
    found = np.empty(1, np.float32)
    compiled.prelu_backward(dy, x, np.ones(1, np.float32), found, None)
    assert abs(found[0] / (-2e5 * np.float64(np.float32(0.1))) - 1.0) < 1e-5
