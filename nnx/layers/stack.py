"""Prepare a list of layers for a network: check, split, name and connect them, and read their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.errors import ConfigurationError
from nnx.layers.base import Layer, as_shape, walk


def expand(layers: Sequence[Layer], whose: str = "Network") -> tuple[Layer, ...]:
    """Split shorthands into their layers, and check that each is a layer that belongs to no network."""
    if isinstance(layers, Layer):
        raise ConfigurationError(f"nnx.{whose} takes one list of layers: nnx.{whose}([nnx.Dense(…), …])")
    if not isinstance(layers, Sequence) or not layers:
        raise ConfigurationError(f"a {whose.lower()} takes a list of at least one layer")
    expanded: list[Layer] = []
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ConfigurationError(f"layer {position} is not an nnx layer but {layer!r}")
        if layer.owned or any(layer is other for other in expanded):
            raise ConfigurationError(
                f"{layer!r} already belongs to a network: build a second layer, or use copy.deepcopy(layer)"
            )
        layer.refuse_inner_layers()
        expanded.extend(layer.expand())
    return tuple(expanded)


def name(layers: Sequence[Layer]) -> None:
    """Number the layers, and name each by its class and its number among the layers of that class.

    Layers in a container are numbered after the container, and named by their path (``residual_1.dense_2``).
    """
    walked = list(walk(layers))
    for index, layer in enumerate(walked):
        layer.index = index
    for layer in walked:
        layer.placed(walked)
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


def adopt(container: Layer) -> None:
    """Mark the layers in a container as its own, and number and name them."""
    for branch in container.branches:
        for layer in branch:
            layer.owned = True
    name([container])
    container.name = ""
    name_branches(container)


def values(layer: Layer) -> dict[str, Any] | None:
    """Return the values, on the host, of a layer that was built alone; None if it is not built."""
    if layer.arena is None:
        return None
    to_numpy = layer.arena.backend.to_numpy
    return {
        key: to_numpy(getattr(layer, key)).copy()
        for key in (*layer.parameter_shapes(), *layer.state_shapes())
    }


def set_values(layer: Layer, given: dict[str, Any]) -> None:
    """Write values from the host, as `values` returns them, into a layer that is built."""
    assert layer.arena is not None
    backend = layer.arena.backend
    with backend.hold():
        for key, value in given.items():
            getattr(layer, key)[...] = backend.asarray(value, layer.arena.dtype)


def connect(layers: Sequence[Layer], inputs: int | tuple[int, ...]) -> tuple[int, ...]:
    """Set the shapes of all layers from the first input's shape, and return the last output's shape.

    If they do not fit, no shape changes.

    Raises
    ------
    ConfigurationError
        If a layer expects another width than the layer before it returns, does not accept its shape, or
        takes integers but is not the first.
    """
    before = [(layer, layer.connections()) for layer in walk(layers)]
    shape = as_shape(inputs)
    computed = False  # whether an earlier layer has computed floats
    try:
        for layer in layers:
            if computed and layer.input_dtype != "float":
                raise ConfigurationError(
                    f"{layer!r} takes integers, but the layer before it returns floats: put it first"
                )
            shape = layer.connect(shape)
            computed = computed or not layer.is_view
    except ConfigurationError:
        for layer, kept in before:
            vars(layer).update(kept)
        raise
    return shape


def takes_integers(layers: Sequence[Layer]) -> bool:
    """Return whether the first layer that is not a view takes integers."""
    first = next((layer for layer in layers if not layer.is_view), None)
    return first is not None and first.input_dtype != "float"
