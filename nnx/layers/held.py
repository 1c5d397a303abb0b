"""Refuse layers in the attributes of another layer, where they would be neither trained nor saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.errors import ConfigurationError


def refuse(layer: object, classes: Sequence[type]) -> None:
    """Refuse a layer that holds a layer or a network in one of its attributes.

    The attributes of `classes` are also read: a class may hold a layer for all its instances.

    Raises
    ------
    ConfigurationError
        If there is one; the text names the attribute.
    """
    for owner in (layer, *classes):
        for name, value in vars(owner).items():
            if holds_layers(value):
                raise ConfigurationError(
                    f"{type(layer).__name__} holds another layer in {name!r}, whose parameters would be "
                    "neither counted, trained nor saved: list all layers in the network itself, or "
                    "join them with nnx.Sequential, nnx.Residual or nnx.Concatenate"
                )


def holds_layers(value: Any, depth: int = 3) -> bool:
    """Return whether a value is a layer or a network, or a collection that contains one."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return depth > 0 and any(holds_layers(one, depth - 1) for one in value)
    return hasattr(type(value), "parameter_count")
