"""Dropout: every backend draws the mask of the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import agree, room

from nnx.backends import Backend


@pytest.mark.parametrize(
    ("key", "row", "rate"), [(0, 0, 0.5), (2**64 - 1, 3, 0.1), (12345 << 32 | 7, 999, 0.9)]
)
def test_dropout_draws_the_oracles_mask(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, key: int, row: int, rate: float
) -> None:
    x = rng.uniform(1.0, 2.0, (33, 65))
    arguments = {"x": x, "y": room(*x.shape), "rate": rate, "key": key, "row": row}
    for strided in (False, True):
        y = agree(backend, "dropout", dtype, arguments, ("y",), strided=strided)["y"]
    same = backend.asarray(x, dtype)
    np.testing.assert_array_equal(backend.to_numpy(backend.dropout(same, same, rate, key, row)), y)
