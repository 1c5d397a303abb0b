"""Compiled searches for faults and norms are right on large buffers."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import close

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY


def test_faults_and_norms_of_large_buffers(
    compiled: Backend, dtype: np.dtype, rng: np.random.Generator
) -> None:
    g = rng.standard_normal(SMALL_ARRAY + 3).astype(dtype)
    value, fault = np.ones(1, dtype), np.zeros(1, np.int64)
    compiled.flag_nonfinite(value, g, fault, 5)
    assert fault[0] == 0
    g[-1] = np.nan
    compiled.flag_nonfinite(value, g, fault, 5)
    assert fault[0] == 5
    g[-1] = 0.0
    before = g.copy()
    compiled.clip_by_norm([g], 2.0)
    close(g, before * (2.0 / np.linalg.norm(before.astype(float))), dtype, len(g))
