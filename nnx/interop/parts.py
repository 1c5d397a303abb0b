"""What a reader of another library's models gives: layers of nnx with the values they are to hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nnx.backends import Backend
from nnx.layers import Layer
from nnx.network import Network


class Part(NamedTuple):
    """A layer and its values, by their names in the layer; those left out start as in any network."""

    layer: Layer
    values: dict[str, Any]


def assemble(parts: Sequence[Part], width: int, dtype: str, device: str | Backend | None) -> Network:
    """The network of these parts.

    Raises
    ------
    ConfigurationError
        If the layers' widths do not fit.
    DataError
        If the values do not fit the layers.
    """
    network = Network([part.layer for part in parts], device=device, dtype=dtype)
    network.build(width)
    given = {f"{part.layer.name}.{key}": value for part in parts for key, value in part.values.items()}
    network.set_weights(network.weights() | given)
    return network
