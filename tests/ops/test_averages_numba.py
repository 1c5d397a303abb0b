"""The compiled average is right on buffers that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import close

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY


def test_a_large_average(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    values, average = (rng.standard_normal(SMALL_ARRAY + 3).astype(dtype) for _ in range(2))
    expected = average + (values.astype(float) - average) * 0.25
    compiled.average_step(average, values, 0.25)
    close(average, expected, dtype)
