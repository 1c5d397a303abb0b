"""Check the rows and the gradients that a network gets; the first rows determine its input shape."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array, foreign
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
    _refuse_strange(network, what, x, "x")
    receive(network, what, x)
    if (taken := network.limits) is not None:
        taken.check(x, "x", backend=network.backend)
    elif x.dtype != network.dtype:
        raise DataError(
            f"{what} takes {network.dtype.name} in this network, not {x.dtype}: x = network.asarray(x)"
        )


def gradient(network: Any, dy: Any) -> Array:
    """Return dy as `Network.backward` takes it: in the network's type.

    Kernels read the bytes of dy as numbers of that type, so another one would give wrong gradients.

    Raises
    ------
    DataError
        If dy is on another device, or does not hold real numbers.
    """
    _refuse_strange(network, "backward", dy, "dy")
    if dy.dtype.kind not in "fiub":
        raise DataError(f"backward takes {network.dtype.name} in this network, not {dy.dtype}")
    return network.backend.asarray(dy, network.dtype)


def _refuse_strange(network: Any, what: str, x: Any, name: str) -> None:
    """Refuse an array of another device or library; the error has the call that converts it."""
    if network.backend.owns(x):
        return
    there = foreign.place(x) if foreign.on_gpu(x) else "the host"
    if there not in (network.device, "the host"):
        raise DataError(foreign.elsewhere(x, name, network.device))
    raise DataError(
        f"{what} takes arrays of {network.device}, not a {type(x).__name__} on {there}: "
        f"{name} = network.asarray({name})"
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
