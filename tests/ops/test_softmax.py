"""Softmax: each row becomes a distribution, whatever is added to it, and its gradient sums to zero."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.backends import Backend

LOGITS = np.log([[1.0, 2.0, 5.0], [3.0, 3.0, 4.0]])


@pytest.mark.parametrize("shift", [0.0, 60.0, -1e4])
def test_rows_are_shares_of_their_exponentials_whatever_is_added(
    backend: Backend, dtype: np.dtype, shift: float
) -> None:
    x = backend.asarray(LOGITS + shift, dtype)
    y = backend.to_numpy(backend.activation_forward("softmax", x, backend.empty((2, 3), dtype)))
    size = max(abs(shift), 1.0)  # x itself is rounded to ε of this
    np.testing.assert_allclose(
        y, [[0.125, 0.25, 0.625], [0.3, 0.3, 0.4]], rtol=8.0 * size * np.finfo(dtype).eps
    )


def test_a_gradient_is_that_of_shares_and_sums_to_zero(backend: Backend, dtype: np.dtype) -> None:
    x = backend.asarray(LOGITS, dtype)
    y = backend.activation_forward("softmax", x, backend.empty((2, 3), dtype))
    dy = backend.asarray(np.array([[8.0, 0.0, 0.0], [2.0, 2.0, 2.0]]), dtype)
    dx = backend.to_numpy(backend.activation_backward("softmax", dy, x, y, backend.empty((2, 3), dtype)))
    # y (dy − Σ dy y): Σ dy y is 1 in the first row; equal dy change nothing
    np.testing.assert_allclose(dx, [[0.875, -0.25, -0.625], [0.0, 0.0, 0.0]], atol=16.0 * np.finfo(dtype).eps)
