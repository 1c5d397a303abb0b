"""Describe layers as files store them, and build layers from such descriptions."""

from __future__ import annotations

from typing import Any

from nnx.errors import ConfigurationError, FileFormatError, nearest, whole_config
from nnx.layers.base import Layer, full_name


def entry_of(layer: Layer) -> dict[str, Any]:
    """Return the description of a layer, as files store it."""
    return {"kind": kind_of(layer), "config": whole_config(layer), "trainable": layer.trainable}


def from_entry(entry: dict[str, Any]) -> Layer:
    """Build a layer from its description; errors as for `from_config`."""
    layer = from_config(entry["kind"], entry["config"])
    if not layer.branches:  # each layer of a container has its own entry
        layer.trainable = entry["trainable"]
    return layer


def _named(name: str) -> list[type[Layer]]:
    """Return the classes with a name: the one of nnx, or else all others."""
    if name in Layer.registry:
        return [Layer.registry[name]]
    return [known for known in Layer.registry.values() if known.__name__ == name]


def kind_of(layer: Layer) -> str:
    """Return the name of a layer's class in a file: without the module if no other class has this name."""
    kind = type(layer)
    full = full_name(kind)
    return kind.__name__ if all(full_name(known) == full for known in _named(kind.__name__)) else full


def from_config(kind: str, config: dict[str, Any]) -> Layer:
    """Build a layer from the name of its class and its `Layer.config`.

    Raises
    ------
    FileFormatError
        If no such class is known (first import the module that defines it), several classes have the name,
        or the arguments are invalid.
    """
    found = _named(kind)
    if not found:
        users = (name for name, known in Layer.registry.items() if not known.__module__.startswith("nnx."))
        # base classes have no record
        layers = [name for name, known in Layer.registry.items() if "record" in vars(known)]
        near = nearest(kind, [*layers, *users])
        raise FileFormatError(f"unknown layer {kind!r} (first import the module of your own layer){near}")
    if len(found) > 1:
        raise FileFormatError(
            f"layer {kind!r} may be {' or '.join(map(full_name, found))}: load the file in a program that "
            "imports only the right one"
        )
    made = found[0]
    try:
        return made._from_config(config)
    except (TypeError, ConfigurationError) as error:
        raise FileFormatError(f"layer {kind} cannot be built from {config!r}: {error}") from error
