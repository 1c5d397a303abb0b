"""Rows are gathered alike on every backend: floats, bytes, labels and rows with axes."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import ROWS, agree, room

from nnx.backends import Backend


@pytest.mark.parametrize("rows", ROWS)
def test_gather(backend: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int) -> None:
    source = rng.standard_normal((11, 5))
    indices = rng.integers(0, 11, rows)
    agree(
        backend, "gather", dtype,
        {"source": source, "indices": indices, "out": room(rows, 5)}, ("out",),
    )  # fmt: skip


def test_gather_of_labels(backend: Backend) -> None:
    labels = backend.asarray(np.arange(10, 20))
    out = backend.empty(3, labels.dtype)
    assert backend.gather(labels, backend.asarray(np.array([9, 0, 4])), out) is out
    assert backend.to_numpy(out).tolist() == [19, 10, 14]


@pytest.mark.parametrize("rows", [*ROWS, 300])
@pytest.mark.parametrize("divisor", [1.0, 255.0])
def test_gather_of_bytes(backend: Backend, dtype: np.dtype, rows: int, divisor: float) -> None:
    """Not close but equal: a data set may be kept either way."""
    every = np.arange(256 * 150).reshape(-1, 150).astype(np.uint8)
    indices = np.random.default_rng(0).permutation(np.arange(512) % 256)[:rows]
    source, out = backend.asarray(every), backend.empty((rows, 150), dtype)
    assert backend.gather(source, backend.asarray(indices), out, divisor) is out
    np.testing.assert_array_equal(backend.to_numpy(out), np.divide(every[indices], divisor, dtype=dtype))
    np.testing.assert_array_equal(backend.to_numpy(source), every)


@pytest.mark.parametrize("kind", ["float", "bytes"])
@pytest.mark.parametrize("rows", [3, 300])
def test_gather_of_rows_with_axes(backend: Backend, dtype: np.dtype, kind: str, rows: int) -> None:
    every = np.arange(11 * 60).reshape(11, 3, 4, 5).astype(dtype if kind == "float" else np.uint8)
    indices = np.arange(rows) * 7 % 11
    out = backend.empty((rows, 3, 4, 5), dtype)
    divisor = 1.0 if kind == "float" else 255.0
    assert backend.gather(backend.asarray(every), backend.asarray(indices), out, divisor) is out
    np.testing.assert_array_equal(backend.to_numpy(out), np.divide(every[indices], divisor, dtype=dtype))
