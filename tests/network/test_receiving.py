"""Rows that do not fit a network are refused in one line; the first rows determine its input shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import nnx
from nnx.network.receiving import check, receive


def dense(dtype="float32"):
    return nnx.Network([nnx.Dense(2)], device="numpy", dtype=dtype, seed=0)


@pytest.mark.parametrize("receiving", [check, receive])
def test_the_first_rows_build_the_network(receiving):
    network = dense()
    receiving(network, "forward", np.ones((4, 3), np.float32))
    assert network.input_shape == (3,)
    receiving(network, "forward", np.ones((1, 3), np.float32))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.ones(3, np.float32), r"predict takes x of shape \(rows, inputs\), not \(3,\)"),
        (np.ones((2, 3, 4), np.float32), r"predict takes x of shape \(rows, inputs\), not \(2, 3, 4\)"),
        (np.ones((2, 4), np.float32), "x has 4 features, but .* takes 3 features"),
    ],
)
@pytest.mark.parametrize("receiving", [check, receive])
def test_another_shape_is_refused(receiving, x, text):
    with pytest.raises(nnx.DataError, match=text):
        receiving(dense().build(3), "predict", x)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ([[1.0, 2.0, 3.0]], r"forward takes arrays of cpu, not a list on the host: x = network.asarray\(x\)"),
        (np.ones((2, 3)), "forward takes float32 in this network, not float64"),
    ],
)
def test_an_array_of_another_kind_is_refused(x, text):
    with pytest.raises(nnx.DataError, match=text):
        check(dense().build(3), "forward", x)


def test_sparse_rows_have_the_type_of_the_network():
    rows = sparse.csr_array(np.eye(3))
    batch = dense("float64").build(3).asarray(rows)
    check(dense("float64"), "forward", batch)
    with pytest.raises(nnx.DataError, match="forward does not take these sparse rows"):
        check(dense().build(3), "forward", batch)
