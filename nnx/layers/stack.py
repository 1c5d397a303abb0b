"""Layers in order, before they are a network: checked, split, named, and asked for the values they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.errors import ConfigurationError
from nnx.layers.base import Layer, as_shape


def expand(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Shorthands split into their layers; each checked to be a layer that is free."""
    if isinstance(layers, Layer):
        raise ConfigurationError("put the layers in one list: nnx.Network([nnx.Dense(…), …])")
    if not isinstance(layers, Sequence) or not layers:
        raise ConfigurationError("a network takes a list of at least one layer")
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
    """Number the layers, and name each after its class and its place among those of that class."""
    counts: dict[str, int] = {}
    for index, layer in enumerate(layers):
        kind = type(layer).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        layer.name, layer.index = f"{kind}_{counts[kind]}", index


def values(layer: Layer) -> dict[str, Any] | None:
    """The values of a layer that was built alone, on the host; None for a layer without any yet."""
    if layer.arena is None:
        return None
    to_numpy = layer.arena.backend.to_numpy
    return {
        key: to_numpy(getattr(layer, key)).copy()
        for key in (*layer.parameter_shapes(), *layer.state_shapes())
    }


def connect(layers: Sequence[Layer], inputs: int | tuple[int, ...]) -> None:
    """Fix all shapes from the first layer's; where they do not fit, all stay as they were.

    Raises
    ------
    ConfigurationError
        If a layer states a width that the layer before it does not give, takes no input of that shape, or
        takes integers where it is not the first.
    """
    names = ("input_shape", "inputs", "output_shape", "outputs")
    before = [[getattr(layer, name) for name in names] for layer in layers]
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
        for layer, kept in zip(layers, before, strict=True):
            for name, value in zip(names, kept, strict=True):
                setattr(layer, name, value)
        raise


def takes_integers(layers: Sequence[Layer]) -> bool:
    """Whether the first layer that computes anything takes integers."""
    first = next((layer for layer in layers if not layer.is_view), None)
    return first is not None and first.input_dtype != "float"
