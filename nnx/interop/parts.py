"""Build networks from the layers and values that a reader of Keras or ONNX models found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnx.backends import Backend
from nnx.errors import ConfigurationError
from nnx.layers import Concatenate, Contractive, Identity, Layer, Rescale, Residual, Sequential, stack
from nnx.layers.base import walk
from nnx.network import Network
from nnx.records import record_of


class Part(NamedTuple):
    """A layer and its values by name; values that are left out keep their initial values.

    For a container, `inner` holds the parts of its layers.
    """

    layer: Layer
    values: dict[str, Any]
    inner: tuple[Part, ...] = ()


def summed(branches: Sequence[list[Part]]) -> Part:
    """Return a `Residual` that adds up the outputs of branches; nested if there are more than two."""
    first, *others = branches
    for other in others:
        terms, added = (first, other) if first else (other, first)
        terms = terms or [Part(Identity(), {})]  # x + x
        layers, projection = ([part.layer for part in term] for term in (terms, added))
        first = [Part(Residual(layers, projection or None), {}, (*terms, *added))]
    return first[0]


def concatenated(branches: Sequence[list[Part]]) -> Part:
    """Return a `Concatenate` of branches."""
    layers = [[part.layer for part in branch] for branch in branches]
    return Part(Concatenate(layers), {}, tuple(part for branch in branches for part in branch))


def leaves(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts that hold values, with those inside containers."""
    for part in parts:
        yield from leaves(part.inner) if part.inner else (part,)


def assemble(
    parts: Sequence[Part],
    shape: tuple[int, ...],
    precision: str,
    device: str | Backend | None,
    most: int | None = None,
) -> Network:
    """Build the network of these parts for rows of a shape.

    `most` is the largest size of a row between the layers, and of all parameters together; None for no limit.
    """
    parts = parts or [Part(Identity(), {})]  # a network needs a layer
    layers = [part.layer for part in parts]
    stack.connect(layers, shape)  # the network then allocates for rows of this shape at once
    if most is not None:
        _check_size(layers, most)
    network = Network(layers, device=device, precision=precision)
    network.build(shape)
    weights = network.weights()
    for part in leaves(parts):
        if isinstance(part.layer, Rescale):
            continue  # its constants are in its configuration
        for key, value in part.values.items():
            name = f"{part.layer.name}.{key}"
            single = np.size(value) == 1 and np.ndim(value) == 1  # the same for all features
            weights[name] = np.broadcast_to(value, weights[name].shape) if single else value
    network.set_weights(weights)
    return network


def _check_size(layers: Sequence[Layer], most: int) -> None:
    """Refuse a network that a small file would make large."""
    total = 0
    for layer in walk(layers):
        if not layer.branches:
            shapes = {**layer.parameter_shapes(), **layer.state_shapes()}.values()
            total += sum(math.prod(shape) for shape in shapes)
        claimed = max(total, math.prod(layer.output_shape or ()))
        if claimed > most:
            raise ConfigurationError(f"its layers need {claimed:,} numbers: too many for what it holds")


def refuse_unknown(network: Network, writable: Collection[type[Layer]], library: str, attribute: str) -> None:
    """Refuse a layer that a library has no counterpart for; `attribute` of its record may say why."""
    for layer in walk(network.layers):
        if type(layer) not in (*writable, Sequential, Contractive):
            record = record_of(type(layer))
            known = ", ".join(sorted(kind.__name__ for kind in writable))
            why = f"nnx can convert {known}" if record is None else getattr(record, attribute)
            raise ConfigurationError(f"layer {layer.index}, {layer!r}: {library} has no such layer; {why}")


def read_back(layers: Sequence[Layer]) -> int:
    """Return as how many layers an ONNX file of these is read: those of a `Sequential` one by one."""
    return sum(
        read_back(layer.branches[0]) if isinstance(layer, Sequential) else 1 - changes_nothing(layer)
        for layer in layers
    )


def changes_nothing(layer: Layer) -> bool:
    """Return whether a layer is a `Flatten` or `Reshape` to the shape that its rows have already."""
    return layer.is_view and layer.output_shape == layer.input_shape


def tell(notes: Sequence[str], source: str, level: int = 3) -> None:
    """Warn the caller of a reader or writer about what is left out or changed."""
    for note in notes:
        warnings.warn(f"{source}: {note}", UserWarning, stacklevel=level)
