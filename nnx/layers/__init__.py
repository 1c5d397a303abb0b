"""Layers: each a forward and a backward pass over rows."""

import warnings
from typing import Any

from nnx import named
from nnx.layers.activations import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nnx.layers.base import Layer, from_config, kind_of
from nnx.layers.containers import Concatenate, Residual, Sequential
from nnx.layers.dense import Dense
from nnx.layers.dropout import Dropout
from nnx.layers.normalization import BatchNorm, LayerNorm
from nnx.layers.plan import Plan
from nnx.layers.rescale import Rescale
from nnx.layers.shapes import Flatten, Reshape
from nnx.layers.workspace import Workspace
from nnx.records import by_name

__all__ = [
    "ELU",
    "GELU",
    "BatchNorm",
    "Concatenate",
    "Dense",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Plan",
    "ReLU",
    "Rescale",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Workspace",
    "from_config",
    "kind_of",
]

KINDS: tuple[type[Layer], ...] = tuple(kind for kind in Layer.registry.values() if "record" in vars(kind))
NAMES = by_name(KINDS)
ACTIVATIONS = {name: kind for name, kind in NAMES.items() if kind.record.activation}


def get(layer: str | dict[str, Any] | Layer, **arguments: Any) -> Layer:
    """Make a layer from its name (a key of `NAMES`) and its arguments.

    ``get("dense", units=8)`` and ``get({"name": "dense", "units": 8})`` are the same. A layer that is already
    made is returned as it is.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text names the nearest), or an argument does not fit.
    """
    made: Layer = named.make("layer", NAMES, layer, arguments, Layer)
    return made


def __getattr__(name: str) -> Any:
    """`Cache` is the name of `Workspace` in version 0.1."""
    if name == "Cache":
        warnings.warn("nnx.layers.Cache is now nnx.layers.Workspace", DeprecationWarning, stacklevel=2)
        return Workspace
    raise AttributeError(f"module 'nnx.layers' has no attribute {name!r}")
