"""Products of sparse rows and their gradients are those of dense rows, in every form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from support.contract import close
from support.devices_here import usable
from support.sparse_matrices import drawn

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS
from nnx.ops.sparse import SparseBatch

PLAIN = Backend()
KINDS = sorted(kind for kind, activation in ACTIVATIONS.items() if activation.from_output)


@pytest.fixture(params=["plain", "numpy", "numba"])
def every(request: pytest.FixtureRequest) -> Backend:
    """The forms of the CPU; on a GPU, batches are dense."""
    return PLAIN if request.param == "plain" else usable(request.param)


def both(
    backend: Backend, x: Any, units: int, kind: str, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What an operation writes for sparse rows, and what the dense operation writes in float64."""
    dtype, (rows, features) = x.dtype, x.shape
    W, b = rng.standard_normal((features, units)).astype(dtype), rng.standard_normal(units).astype(dtype)
    dy = rng.standard_normal((rows, units)).astype(dtype)
    dense, exact = x.toarray().astype(float), [a.astype(float) for a in (W, b, dy)]
    y, dz, dW, db = (np.empty(a.shape) for a in (exact[2], exact[2], exact[0], exact[1]))
    PLAIN.dense_forward(dense, *exact[:2], y, kind, 0.3)
    PLAIN.dense_backward(exact[2], dense, exact[0], dW, db, None, kind, 0.3, y, dz)
    batch = SparseBatch(x)
    found = {"y": np.full_like(dy, np.nan), "db": np.full_like(b, np.nan)}
    columns = batch.by_column.columns
    found["sums"] = np.full((columns.size, units), np.nan, dtype)
    given = [a.copy() for a in (dy, W, b, x.data)]
    assert backend.sparse_forward(batch, W, b, found["y"], kind, 0.3) is found["y"]
    more = (kind, 0.3, found["y"], np.empty_like(dy)) if kind != "identity" else ()
    assert backend.sparse_backward(dy, batch, found["sums"], found["db"], *more) is found["sums"]
    for one, before in zip((dy, W, b, x.data), given, strict=True):
        np.testing.assert_array_equal(one, before)
    used = columns >= 0
    whole = np.zeros((features, units), dtype)
    whole[columns[used]] = found["sums"][used]
    assert not found.pop("sums")[~used].any()
    return found | {"dW": whole}, {"y": y, "db": db, "dW": dW}


@pytest.mark.parametrize("kind", KINDS)
def test_every_activation(every: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str) -> None:
    found, expected = both(every, drawn(13, 40, dtype=dtype), 5, kind, rng)
    for name, value in expected.items():
        close(found[name], value, dtype, 40)


@pytest.mark.parametrize(("rows", "features", "units"), [(1, 1, 1), (1, 50, 3), (300, 7, 17), (5, 3000, 40)])
def test_shapes(
    every: Backend, dtype: np.dtype, rng: np.random.Generator, rows: int, features: int, units: int
) -> None:
    x = drawn(rows, features, 0.2, dtype)
    for one in (x, x[:, ::-1], 0.0 * x, sparse.csr_array(x.shape, dtype=dtype)):
        one = one.tocsr()
        one.eliminate_zeros()
        one.sum_duplicates()
        found, expected = both(every, one, units, "relu", rng)
        for name, value in expected.items():
            close(found[name], value, dtype, max(rows, features))


def test_a_batch_knows_its_columns() -> None:
    batch = SparseBatch(drawn(9, 12))
    dense = batch.matrix.toarray()
    columns, starts, rows, values = batch.by_column
    np.testing.assert_array_equal(columns, np.flatnonzero(dense.any(axis=0)))
    for place, column in enumerate(columns):
        at = slice(starts[place], starts[place + 1])
        np.testing.assert_array_equal(rows[at], np.flatnonzero(dense[:, column]))
        np.testing.assert_array_equal(values[at], dense[rows[at], column])
    np.testing.assert_array_equal(batch[2:5].matrix.toarray(), dense[2:5])
    assert len(batch) == 9
    assert SparseBatch(sparse.csr_array((3, 4))).by_column.columns.tolist() == [-1]


def test_arrays_that_may_not_be_written_and_long_indices(rng: np.random.Generator) -> None:
    """joblib hands workers memory that they may not write to."""
    x = drawn(30, 40)
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    found, expected = both(usable("numba"), x, 8, "relu", rng)
    for name, value in expected.items():
        close(found[name], value, np.dtype(float), 40)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_column_of_many_rows_is_summed_in_blocks(backend: str) -> None:
    """One after the other, in float32, the error would be above 1e-3."""
    rows = 200_000
    x = sparse.csr_array(
        (np.full(rows, 0.1, np.float32), np.zeros(rows, int), np.arange(rows + 1)), (rows, 2)
    )
    sums, db = np.empty((1, 2), np.float32), np.empty(2, np.float32)
    usable(backend).sparse_backward(np.full((rows, 2), 0.1, np.float32), SparseBatch(x), sums, db)
    exact = rows * float(np.float32(0.1)) ** 2
    np.testing.assert_allclose(sums, exact, rtol=1e-5)
    np.testing.assert_allclose(db, rows * float(np.float32(0.1)), rtol=1e-5)
