"""XOR has its four cases, in order."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.datasets import load_xor


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_xor(dtype: str) -> None:
    data = load_xor(dtype)
    assert data.features == 2
    assert data.image_shape is None
    assert data.x_train.dtype == data.y_train.dtype == np.dtype(dtype)
    assert data.x_train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.y_train.tolist() == [[0], [1], [1], [0]]
    np.testing.assert_array_equal(data.x_test, data.x_train)
