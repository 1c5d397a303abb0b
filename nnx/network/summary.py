"""A table of a network's layers as text."""

from __future__ import annotations

from typing import Any

from nnx.layers.base import walk
from nnx.network.storage import described


def of(network: Any) -> str:
    """Return a table of the layers, the shapes of their outputs, and their numbers of parameters."""
    layers = list(walk(network.layers))
    names = [f"{'  ' * layer.name.count('.')}{layer.name.rpartition('.')[2]}" for layer in layers]
    width = max(map(len, names))
    shapes = [str(described(layer.output_shape) or "?") for layer in layers]
    wide = max(8, *map(len, shapes))
    lines = [f"{'layer':{width}}  {'outputs':>{wide}}  {'parameters':>12}"]
    for layer, name, outputs in zip(layers, names, shapes, strict=True):
        count = f"{layer.parameter_count():,}" if layer.arena is not None else "?"
        frozen = "" if layer.trainable else "  frozen"
        lines.append(f"{name:{width}}  {outputs:>{wide}}  {count:>12}{frozen}")
    total = f"{network.parameter_count():,} parameters" if network._arena is not None else "not built"
    return "\n".join([*lines, f"{total}, {network.precision}, {network.device} ({network.backend.name})"])
