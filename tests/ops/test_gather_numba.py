"""The compiled gather equals the plain form, on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends.base import Backend

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY


def test_gather(compiled: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    source, indices = rng.standard_normal((300, 150)), rng.integers(0, 300, 257)
    assert SMALL_ARRAY < 257 * 150
    arguments = {"source": source, "indices": indices, "out": room(257, 150)}
    agree(compiled, "gather", dtype, arguments, ("out",))
