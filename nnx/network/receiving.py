"""Check the rows that a network gets; the first ones determine its input shape."""

from __future__ import annotations

from typing import Any

from nnx.backends import foreign
from nnx.errors import DataError
from nnx.network import sparse_input
from nnx.ops.sparse import SparseBatch


def check(network: Any, what: str, x: Any) -> None:
    """Check the rows of `Network.forward`, and build a network that has no input shape yet.

    Raises
    ------
    DataError
        If x is on another device, has another type, or does not fit the first layer.
    """
    if isinstance(x, SparseBatch):
        receive(network, what, x)
        sparse_input.check_batch(network, what, x)
        return
    if not network.backend.owns(x):
        there = foreign.place(x) if foreign.on_gpu(x) else "the host"
        if there not in (network.device, "the host"):
            raise DataError(foreign.elsewhere(x, "x", network.device))
        raise DataError(
            f"{what} takes arrays of {network.device}, not a {type(x).__name__} on {there}: "
            "x = network.asarray(x)"
        )
    receive(network, what, x)
    if (taken := network.limits) is not None:
        taken.check(x, "x", backend=network.backend)
    elif x.dtype != network.dtype:
        raise DataError(
            f"{what} takes {network.dtype.name} in this network, not {x.dtype}: x = network.asarray(x)"
        )


def receive(network: Any, what: str, x: Any) -> None:
    """Check the shape of x only, and build a network that has no input shape yet.

    Raises
    ------
    DataError
        If x does not fit the first layer.
    """
    shape = network.input_shape if network._arena is not None else None
    if shape is not None and x.shape[1:] == shape:
        return
    if x.ndim < 2 or (shape is not None and x.ndim != 1 + len(shape)):
        axes = ("inputs",) if shape is None or len(shape) == 1 else shape
        expected = ", ".join(map(str, ("rows", *axes)))
        raise DataError(f"{what} takes x of shape ({expected}), not {tuple(x.shape)}")
    network.build(tuple(x.shape[1:]))
