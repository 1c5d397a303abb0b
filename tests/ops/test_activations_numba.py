"""The compiled exponential is right to its last digits, at its ends too."""

from __future__ import annotations

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops import activations_numba  # noqa: E402


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
