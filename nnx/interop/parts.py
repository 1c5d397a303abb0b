"""Build networks from the layers and values that a reader of Keras or ONNX models found."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.backends import Backend
from nnx.errors import ConfigurationError
from nnx.layers import Dense, Identity, Layer, LayerNorm, Rescale, Softmax
from nnx.network import Network


class Part(NamedTuple):
    """A layer and its values by name; values that are left out keep their initial values."""

    layer: Layer
    values: dict[str, Any]


def assemble(parts: Sequence[Part], width: int, dtype: str, device: str | Backend | None) -> Network:
    """Build the network of these parts.

    Raises
    ------
    ConfigurationError
        If the layers' widths do not fit.
    DataError
        If the values do not fit the layers.
    """
    parts = parts or [Part(Identity(), {})]  # a network needs a layer
    network = Network([part.layer for part in parts], device=device, dtype=dtype)
    network.build(width)
    weights = network.weights()
    for part in parts:
        if isinstance(part.layer, Rescale):
            continue  # its constants are in its configuration
        for key, value in part.values.items():
            name = f"{part.layer.name}.{key}"
            single = np.size(value) == 1 and np.ndim(value) == 1  # the same for all features
            weights[name] = np.broadcast_to(value, weights[name].shape) if single else value
    network.set_weights(weights)
    return network


def same_for_all_features(part: Part) -> bool:
    """Return whether a layer treats all numbers alike, in every row and feature."""
    mixes = isinstance(part.layer, (Dense, LayerNorm, Softmax))
    return not mixes and all(np.size(value) == 1 for value in part.values.values())


def tell(notes: Sequence[str], source: str, level: int = 3) -> None:
    """Warn the caller of a reader or writer about what is left out or changed."""
    for note in notes:
        warnings.warn(f"{source}: {note}", UserWarning, stacklevel=level)


def check_features(network: Network, target: str) -> None:
    """Refuse a network of which the other format would not take the rows: they have several axes.

    Raises
    ------
    ConfigurationError
        If a layer's input or output has more than one axis.
    """
    for layer in network.layers:
        for shape in (layer.input_shape, layer.output_shape):
            if shape is not None and len(shape) > 1:
                raise ConfigurationError(
                    f"{layer!r} works on rows of shape {shape}: nnx exports to {target} only networks "
                    "that work on rows of features, of one axis, throughout"
                )
