"""Normal noise: every backend adds the noise of the plain form, and it is normal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from support.contract import agree, room

from nnx.backends import Backend


@pytest.mark.parametrize(("key", "row"), [(0, 0), (2**64 - 1, 3), (12345 << 32 | 7, 999)])
def test_noise_is_that_of_the_plain_form(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, key: int, row: int
) -> None:
    x = rng.uniform(-1.0, 1.0, (33, 65))
    arguments = {"x": x, "y": room(*x.shape), "deviation": 0.5, "key": key, "row": row}
    for strided in (False, True):
        agree(backend, "add_noise", dtype, arguments, ("y",), strided=strided)


def test_noise_is_standard_normal_and_independent(backend: Backend, dtype: np.dtype) -> None:
    zeros = backend.zeros((500, 200), dtype)
    n = backend.to_numpy(backend.add_noise(zeros, backend.empty(zeros.shape, dtype), 1.0, 77)).astype(float)
    assert stats.kstest(n.ravel(), "norm").pvalue > 1e-3
    limit = 5.0 / np.sqrt(n.size)
    assert abs(n.mean()) < limit
    for shift, axis in ((1, 0), (1, 1), (2, 0), (7, 1)):
        moved = np.roll(n, shift, axis)
        assert abs(np.mean(n * moved)) < limit
        assert abs(np.mean((n**2 - 1.0) * (moved**2 - 1.0))) < 2.0 * limit


def test_rows_of_a_batch_have_the_noise_of_their_place_in_the_whole(backend: Backend) -> None:
    x = backend.zeros((8, 5), "float64")
    whole = backend.to_numpy(backend.add_noise(x, backend.empty(x.shape, "float64"), 1.0, 5)).copy()
    part = backend.add_noise(x[:3], backend.empty((3, 5), "float64"), 1.0, 5, row=4)
    np.testing.assert_allclose(backend.to_numpy(part), whole[4:7], rtol=1e-13)
