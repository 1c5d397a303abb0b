"""Sparse matrices of every format are read as their dense arrays, and faulty ones are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from support.sparse_matrices import FORMATS, drawn

import nnx
from nnx.data.sparse_rows import SparseRows, is_sparse, sparse_rows

X = drawn(11, 8)


def bits(*matrices: Any) -> list[bytes]:
    return [a.tobytes() for m in matrices for a in (m.data, m.indices, m.indptr)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_every_format(dtype: np.dtype, name: str, kind: str) -> None:
    x = getattr(sparse, f"{name}_{kind}")(X)
    rows = sparse_rows(x, "x", dtype)
    np.testing.assert_array_equal(np.asarray(rows), X.toarray().astype(dtype))
    assert rows.dtype == rows.kept == dtype
    assert (rows.shape, len(rows)) == (X.shape, 11)
    assert rows.matrix.has_canonical_format
    assert [is_sparse(one) for one in (x, rows, X.toarray())] == [True, True, False]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int64", "float16", "float32", "longdouble", ">f8"]
)
def test_every_type_of_number(dtype: str) -> None:
    values = np.array([1, 3, 2, 1]).astype(dtype)
    x = sparse.csr_array((values, np.array([0, 2, 1, 2]), np.array([0, 2, 2, 4])), shape=(3, 4))
    expected = np.zeros((3, 4))
    expected[[0, 0, 2, 2], [0, 2, 1, 2]] = values
    np.testing.assert_array_equal(np.asarray(sparse_rows(x, "x", np.float32)), expected)


def test_unsorted_and_repeated_columns_and_zeros() -> None:
    """Duplicates are added up in the type of x, as `toarray` does; x itself does not change."""
    values = np.array([1.0, 2.0, 4.0, 0.0, 8.0])
    for own in (np.float32, np.float64, np.int32, np.uint8, np.bool_):
        x = sparse.csr_array(
            (values.astype(own), np.array([3, 1, 3, 0, 2]), np.array([0, 3, 5])), shape=(2, 4)
        )
        before = bits(x)
        rows = sparse_rows(x, "x", np.float32)
        assert bits(x) == before
        np.testing.assert_array_equal(np.asarray(rows), x.toarray())
        assert rows.matrix.indices.tolist() == [1, 3, 2]
    wraps = sparse.csr_array(
        (np.array([200, 100], np.uint8), np.array([0, 0]), np.array([0, 2])), shape=(1, 1)
    )
    assert np.asarray(sparse_rows(wraps, "x", np.float32)).item() == wraps.toarray().item() == 44.0


def test_a_matrix_that_fits_is_not_copied() -> None:
    rows = sparse_rows(X, "x", np.float64)
    assert np.shares_memory(rows.matrix.data, X.data)
    assert np.shares_memory(sparse_rows(X, "x", np.float32).matrix.indices, X.indices)
    assert sparse_rows(rows, "x", np.float64) is rows


def wrong(**changed: Any) -> Any:
    """A matrix of 3 × 4 of which an array was changed after SciPy looked at it."""
    x = sparse.csr_array((np.ones(3), np.array([0, 1, 3]), np.array([0, 1, 2, 3])), shape=(3, 4))
    for name, value in changed.items():
        setattr(x, name, np.array(value))
    return x


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (wrong(data=[1.0, np.nan, 2.0]), r"x has a value that is NaN or infinite, first in row 1$"),
        (wrong(data=[1.0, 2.0, 1e39]), r"first in row 2: in float32, numbers above 3\.4e38 are infinite"),
        (wrong(indices=[0, 1, 4]), r"x is not a valid sparse matrix of the format csr: .*< 4"),
        (wrong(indices=[0, -1, 3]), r"x is not a valid sparse matrix of the format csr: .*>= 0"),
        (wrong(indptr=[0, 2, 1, 3]), r"x is not a valid sparse matrix of the format csr: .*non-decreasing"),
        (wrong(indptr=[0, 1, 2, 9]), r"x is not a valid sparse matrix of the format csr"),
        (wrong(data=[1j, 1j, 1j]), r"x must hold numbers, not complex128"),
        (sparse.csr_array((0, 4)), r"none of them may be 0, not \(0, 4\)"),
        (sparse.csr_array((3, 0)), r"none of them may be 0, not \(3, 0\)"),
        (sparse.coo_array(np.ones(3)), r"x must have shape \(rows, features\).*\(3,\)"),
    ],
)  # fmt: skip
def test_faulty_matrices_are_refused(x: Any, text: str) -> None:
    with pytest.raises(nnx.errors.DataError, match=text):
        sparse_rows(x, "x", np.float32)


@pytest.mark.parametrize("name", ["csc", "bsr", "coo"])
def test_indices_out_of_range_in_other_formats(name: str) -> None:
    """SciPy would write past the end of its arrays."""
    x = getattr(sparse, f"{name}_array")(X)
    if name == "coo":
        x.coords = (x.coords[0], x.coords[1] + 5)
    else:
        x.indices = x.indices + 100
    with pytest.raises(nnx.errors.DataError, match=f"x is not a valid sparse matrix of the format {name}"):
        sparse_rows(x, "x", np.float32)


def test_rows_are_taken_and_become_dense() -> None:
    rows, numbers = sparse_rows(X, "x", np.float64), np.array([3, 0, 7])
    dense = X.toarray()
    np.testing.assert_array_equal(rows[numbers], dense[numbers])
    np.testing.assert_array_equal(np.asarray(rows[2:5]), dense[2:5])
    np.testing.assert_array_equal(rows.bring(numbers, np.full((3, 8), np.nan)), dense[numbers])
    np.testing.assert_array_equal(rows.batch(numbers).matrix.toarray(), dense[numbers])
    np.testing.assert_array_equal(np.concatenate(list(rows.pieces())), dense)
    np.testing.assert_array_equal(np.asarray(rows.clipped()), dense.clip(0.0, 1.0))
    assert "non-zeros" in repr(rows)
    assert isinstance(rows[1:3], SparseRows)


def test_the_fingerprint_is_that_of_the_values() -> None:
    from nnx.distributed.agreement import fingerprint

    long = X.copy()
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    found = {fingerprint(*sparse_rows(x, "x", np.float32).made_of()) for x in (X, long, X.tocsc(), X.tocoo())}
    assert len(found) == 1
    assert fingerprint(*sparse_rows(2 * X, "x", np.float32).made_of()) not in found
