"""The running average of parameters: every backend equals the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree

from nnx.backends import Backend

LARGE = 2 * 65536 + 5  # beyond the chunks of the form in place


@pytest.mark.parametrize("size", [1, 100, LARGE])
def test_average_step(backend: Backend, dtype: np.dtype, rng: np.random.Generator, size: int) -> None:
    arguments = {"average": rng.standard_normal(size), "values": rng.standard_normal(size), "share": 0.013}
    agree(backend, "average_step", dtype, arguments, ("average",))


def test_values_that_do_not_change_keep_all_bits(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator
) -> None:
    values = rng.standard_normal(1000).astype(dtype)
    average = backend.asarray(values.copy())
    for share in (0.5, 0.1, 1e-3):
        backend.average_step(average, backend.asarray(values), share)
    assert backend.to_numpy(average).tobytes() == values.tobytes()
