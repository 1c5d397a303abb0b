"""Layers as files describe them, and layers from such descriptions."""

from __future__ import annotations

from typing import Any

from nnx.errors import ConfigurationError, FileFormatError, nearest, whole_config
from nnx.layers.base import Layer, full_name


def entry_of(layer: Layer) -> dict[str, Any]:
    """A layer as files describe it."""
    return {"kind": kind_of(layer), "config": whole_config(layer), "trainable": layer.trainable}


def from_entry(entry: dict[str, Any]) -> Layer:
    """A layer from its description; errors as for `from_config`."""
    layer = from_config(entry["kind"], entry["config"])
    if not layer.branches:  # the layers of a container say it for themselves
        layer.trainable = entry["trainable"]
    return layer


def _named(name: str) -> list[type[Layer]]:
    """The classes that a name means: the one of nnx, or all others that have it."""
    if name in Layer.registry:
        return [Layer.registry[name]]
    return [known for known in Layer.registry.values() if known.__name__ == name]


def kind_of(layer: Layer) -> str:
    """A layer's class as a file names it: by its name alone where no other class has it."""
    kind = type(layer)
    full = full_name(kind)
    return kind.__name__ if all(full_name(known) == full for known in _named(kind.__name__)) else full


def from_config(kind: str, config: dict[str, Any]) -> Layer:
    """A layer from its class's name and `Layer.config`.

    Raises
    ------
    FileFormatError
        If no such class is known (import the module that defines it first), several have the name, or the
        arguments do not fit.
    """
    found = _named(kind)
    if not found:
        raise FileFormatError(f"unknown layer {kind!r}{nearest(kind, Layer.registry)}")
    if len(found) > 1:
        raise FileFormatError(
            f"layer {kind!r} is a name of {' and of '.join(map(full_name, found))}, and nothing says "
            "which is meant: load it where only the right one is imported"
        )
    made = found[0]
    try:
        return made._from_config(config)
    except (TypeError, ConfigurationError) as error:
        raise FileFormatError(f"layer {kind} cannot be built from {config!r}: {error}") from error
