"""The compiled forms equal the plain ones on sizes that several threads share."""

from __future__ import annotations

import numpy as np
import pytest
from support.contract import close
from support.sparse_matrices import drawn

from nnx.backends.base import Backend
from nnx.ops.sparse import SparseBatch

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

from nnx.ops.base_numba import SMALL_ARRAY
from nnx.ops.sparse_numba import bound

ROWS, FEATURES, UNITS = 150, 400, 24
PLAIN = Backend()


def computed(backend: Backend, kind: str, dtype: np.dtype, seed: int = 0) -> list[np.ndarray]:
    """y, the sums of the used columns, and db."""
    rng, x = np.random.default_rng(seed), SparseBatch(drawn(ROWS, FEATURES, dtype=dtype))
    assert x.values.size * UNITS > SMALL_ARRAY
    W, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((FEATURES, UNITS), (ROWS, UNITS)))
    b, y, dz = rng.standard_normal(UNITS).astype(dtype), np.empty_like(dy), np.empty_like(dy)
    sums, db = np.empty((x.by_column.columns.size, UNITS), dtype), np.empty_like(b)
    backend.sparse_forward(x, W, b, y, kind, 0.2)
    backend.sparse_backward(dy, x, sums, db, kind, 0.2, y, dz)
    return [y, sums, db]


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh", "leaky_relu"])
def test_the_plain_form(compiled: Backend, dtype: np.dtype, kind: str) -> None:
    for found, expected in zip(
        computed(compiled, kind, dtype), computed(PLAIN, kind, np.dtype(float)), strict=True
    ):
        close(found, expected, dtype, FEATURES)


def test_the_number_of_threads_does_not_matter() -> None:
    from nnx.backends.numba_backend import NumbaBackend

    found = set()
    for threads in (1, 2, 8):
        backend = NumbaBackend()
        backend.threads = threads
        found.add(b"".join(a.tobytes() for a in computed(backend, "relu", np.dtype("float32"))[:2]))
    assert len(found) == 1


def test_tiles_have_about_as_many_non_zeros_and_every_row_once() -> None:
    starts = np.array([0, 0, 5, 5, 6, 30, 31, 31, 40, 40])
    for tiles in (1, 2, 3, 20):
        bounds = [bound.py_func(starts, index, tiles) for index in range(tiles + 1)]
        assert (bounds[0], bounds[-1]) == (0, 9)
        assert bounds == sorted(bounds)
    assert bound.py_func(starts, 1, 2) == 5
    assert [bound.py_func(np.zeros(4, int), index, 2) for index in range(3)] == [0, 0, 3]
