"""The compiled dropout draws the mask of the plain form, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.backends import resolve

pytest.importorskip("numba")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 33), (300, 257)])
@pytest.mark.parametrize(
    ("key", "row", "rate"), [(0, 0, 0.5), (2**64 - 1, 2**32 - 2, 0.1), (12345 << 32 | 7, 999, 0.0)]
)
def test_it_is_the_plain_form(rng, dtype, shape, key, row, rate):
    x = rng.standard_normal(shape).astype(dtype)
    if x.size > 8:
        x[:2, :3] = np.nan, np.inf, -0.0
    plain, compiled = np.empty_like(x), np.empty_like(x)
    resolve("numpy").dropout(x, plain, rate, key, row)
    resolve("numba").dropout(x, compiled, rate, key, row)
    np.testing.assert_array_equal(compiled.view(np.uint8), plain.view(np.uint8))
    resolve("numpy").dropout(x, plain, rate, key, row, scale=3.0)
    resolve("numba").dropout(x, x, rate, key, row, scale=3.0)  # in place
    np.testing.assert_array_equal(x.view(np.uint8), plain.view(np.uint8))


def test_arrays_that_no_kernel_takes_get_the_plain_form(rng):
    x = rng.standard_normal((40, 30)).astype(np.float32)
    plain, compiled = (np.zeros((40, 60), np.float32) for _ in range(2))
    resolve("numpy").dropout(x, plain[:, ::2], 0.3, 5)
    resolve("numba").dropout(x, compiled[:, ::2], 0.3, 5)
    np.testing.assert_array_equal(compiled, plain)
