"""Sparse rows as the input of a network: which networks compute over their non-zeros, and a batch by hand."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.data.sparse_rows import sparse_rows
from nnx.errors import DataError
from nnx.layers.plan import shape_of
from nnx.ops.sparse import SparseBatch


def takes_sparse(network: Any) -> bool:
    """Return whether a batch of sparse rows stays sparse: on a CPU, if the first layer is `Dense`.

    Else its rows become dense, also in bfloat16, whose products round dense factors.
    """
    first = next((layer for layer in network.layers if not layer.is_view), None)
    if first is None or not first.takes_sparse or len(shape_of(first.input_shape)) != 1:
        return False
    return bool(network.precision != "bfloat16" and network.device == "cpu")


def batch(network: Any, x: Any) -> SparseBatch | Array:
    """Return sparse rows in the form for `Network.forward`: a `SparseBatch`, or a dense array."""
    rows = sparse_rows(x, "x", network.dtype, finite=False)
    if network.input_shape is None or takes_sparse(network):
        return rows.batch()
    return network.backend.asarray(rows)


def check_batch(network: Any, what: str, x: SparseBatch) -> None:
    """Check that a network takes a `SparseBatch`.

    Raises
    ------
    DataError
        If its batches are dense, or of another type.
    """
    if not takes_sparse(network) or x.dtype != network.dtype:
        raise DataError(f"{what} does not take these sparse rows: x = network.asarray(x)")
