"""Layers: each has a forward and a backward pass over rows."""

import warnings
from typing import Any

from nnx import named
from nnx.layers import (
    activations,
    ascending,
    containers,
    contractive,
    convolution,
    dense,
    dropout,
    embedding,
    global_pooling,
    noise,
    normalization,
    numeric_embedding,
    packed,
    pooling,
    prelu,
    rescale,
    shapes,
    sparsity,
    table_columns,
    tied,
    upsampling,
    variational,
)
from nnx.layers.activations import *
from nnx.layers.ascending import *
from nnx.layers.base import Layer
from nnx.layers.containers import *
from nnx.layers.contractive import *
from nnx.layers.convolution import *
from nnx.layers.dense import *
from nnx.layers.descriptions import from_config as from_config
from nnx.layers.descriptions import kind_of as kind_of
from nnx.layers.dropout import *
from nnx.layers.embedding import *
from nnx.layers.global_pooling import *
from nnx.layers.noise import *
from nnx.layers.normalization import *
from nnx.layers.numeric_embedding import *
from nnx.layers.packed import *
from nnx.layers.plan import Plan as Plan
from nnx.layers.pooling import *
from nnx.layers.prelu import *
from nnx.layers.rescale import *
from nnx.layers.shapes import *
from nnx.layers.sparsity import *
from nnx.layers.table_columns import *
from nnx.layers.tied import *
from nnx.layers.upsampling import *
from nnx.layers.variational import *
from nnx.layers.workspace import Workspace as Workspace
from nnx.records import by_name

# nnx exports these too; names that are not in the list (Plan, Workspace) are only in nnx.layers
__all__ = ["Layer"]
__all__ += activations.__all__
__all__ += ascending.__all__
__all__ += containers.__all__
__all__ += contractive.__all__
__all__ += convolution.__all__
__all__ += dense.__all__
__all__ += dropout.__all__
__all__ += embedding.__all__
__all__ += global_pooling.__all__
__all__ += noise.__all__
__all__ += normalization.__all__
__all__ += numeric_embedding.__all__
__all__ += packed.__all__
__all__ += pooling.__all__
__all__ += prelu.__all__
__all__ += rescale.__all__
__all__ += shapes.__all__
__all__ += sparsity.__all__
__all__ += table_columns.__all__
__all__ += tied.__all__
__all__ += upsampling.__all__
__all__ += variational.__all__

KINDS: tuple[type[Layer], ...] = tuple(kind for kind in Layer.registry.values() if "record" in vars(kind))
NAMES = by_name(KINDS)
ACTIVATIONS = {name: kind for name, kind in NAMES.items() if kind.record.activation}


def get(layer: str | dict[str, Any] | Layer, **arguments: Any) -> Layer:
    """Make a layer from its name (a key of `NAMES`) and its arguments.

    ``get("dense", units=8)`` and ``get({"name": "dense", "units": 8})`` do the same. A layer object is
    returned unchanged.

    Raises
    ------
    ConfigurationError
        If the name is unknown (the text suggests the nearest), or an argument is invalid.
    """
    made: Layer = named.make("layer", NAMES, layer, arguments, Layer)
    return made


def __getattr__(name: str) -> Any:
    """Return `Workspace` for its name in version 0.1, `Cache`."""
    if name == "Cache":
        warnings.warn("nnx.layers.Cache is now nnx.layers.Workspace", DeprecationWarning, stacklevel=2)
        return Workspace
    raise AttributeError(f"module 'nnx.layers' has no attribute {name!r}")
