"""Layers in order, before they are a network: checked, split, named, and asked for the values they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.errors import ConfigurationError
from nnx.layers.base import Layer, as_shape, walk


def expand(layers: Sequence[Layer], whose: str = "Network") -> tuple[Layer, ...]:
    """Shorthands split into their layers; each checked to be a layer that is free."""
    if isinstance(layers, Layer):
        raise ConfigurationError(f"put the layers in one list: nnx.{whose}([nnx.Dense(…), …])")
    if not isinstance(layers, Sequence) or not layers:
        raise ConfigurationError(f"a {whose.lower()} takes a list of at least one layer")
    expanded: list[Layer] = []
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ConfigurationError(f"layer {position} is not an nnx layer but {layer!r}")
        if layer.owned or any(layer is other for other in expanded):
            raise ConfigurationError(
                f"{layer!r} already belongs to a network: build a second layer, or copy() the network"
            )
        layer.refuse_inner_layers()
        expanded.extend(layer.expand())
    return tuple(expanded)


def name(layers: Sequence[Layer]) -> None:
    """Number the layers, and name each after its class and its place among those of that class.

    Layers in a container are numbered after it, and named by their path (``residual_1.dense_2``).
    """
    for index, layer in enumerate(walk(layers)):
        layer.index = index
    _name(layers, "")


def name_branches(container: Layer) -> None:
    """Name the layers that a container holds."""
    held = [layer for branch in container.branches for layer in branch]
    _name(held, f"{container.name}." if container.name else "")


def _name(layers: Sequence[Layer], before: str) -> None:
    counts: dict[str, int] = {}
    for layer in layers:
        kind = type(layer).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        layer.name = f"{before}{kind}_{counts[kind]}"
        name_branches(layer)


def values(layer: Layer) -> dict[str, Any] | None:
    """The values of a layer that was built alone, on the host; None for a layer without any yet."""
    if layer.arena is None:
        return None
    to_numpy = layer.arena.backend.to_numpy
    return {
        key: to_numpy(getattr(layer, key)).copy()
        for key in (*layer.parameter_shapes(), *layer.state_shapes())
    }


def connect(layers: Sequence[Layer], inputs: int | tuple[int, ...]) -> tuple[int, ...]:
    """Fix all shapes from the first layer's, and return the last one's.

    If they do not fit, all stay as they were.

    Raises
    ------
    ConfigurationError
        If a layer states a width that the layer before it does not give, takes no input of that shape, or
        takes integers where it is not the first.
    """
    before = [(layer, layer.connections()) for layer in walk(layers)]
    shape = as_shape(inputs)
    computed = False  # whether a layer before has made the input into floats
    try:
        for layer in layers:
            if computed and layer.input_dtype != "float":
                raise ConfigurationError(
                    f"{layer!r} takes integers, but what comes before it gives floats: put it first"
                )
            shape = layer.connect(shape)
            computed = computed or not layer.is_view
    except ConfigurationError:
        for layer, kept in before:
            vars(layer).update(kept)
        raise
    return shape


def takes_integers(layers: Sequence[Layer]) -> bool:
    """Whether the first layer that computes anything takes integers."""
    first = next((layer for layer in layers if not layer.is_view), None)
    return first is not None and first.input_dtype != "float"
