"""What a reader of another library's models gives: layers of nnx with the values they are to hold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.backends import Backend
from nnx.layers import Dense, Identity, Layer, LayerNorm, Softmax
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
    parts = parts or [Part(Identity(), {})]  # a network has a layer
    network = Network([part.layer for part in parts], device=device, dtype=dtype)
    network.build(width)
    weights = network.weights()
    for part in parts:
        for key, value in part.values.items():
            name = f"{part.layer.name}.{key}"
            single = np.size(value) == 1 and np.ndim(value) == 1  # the same for all features
            weights[name] = np.broadcast_to(value, weights[name].shape) if single else value
    network.set_weights(weights)
    return network


def same_for_all_features(part: Part) -> bool:
    """Whether a layer does the same to each number, whatever row and feature it is."""
    mixes = isinstance(part.layer, (Dense, LayerNorm, Softmax))
    return not mixes and all(np.size(value) == 1 for value in part.values.values())


def tell(notes: Sequence[str], source: str, level: int = 3) -> None:
    """Warn the caller of a reader or writer of what is left out or has another form."""
    for note in notes:
        warnings.warn(f"{source}: {note}", UserWarning, stacklevel=level)
