"""Turn a list of hidden layers into residual blocks."""

from __future__ import annotations

from collections.abc import Sequence

from nnx.errors import ConfigurationError
from nnx.layers import stack
from nnx.layers.activations import Activation
from nnx.layers.base import Layer
from nnx.layers.containers import Residual
from nnx.layers.convolution import Conv1D, Conv2D
from nnx.layers.dense import Dense
from nnx.layers.dropout import Dropout, SpatialDropout1D, SpatialDropout2D
from nnx.layers.normalization import BatchNorm, LayerNorm
from nnx.layers.prelu import PReLU

_STARTS = (Dense, Conv1D, Conv2D)
_FOLLOWS = (Activation, PReLU, BatchNorm, LayerNorm, Dropout, SpatialDropout1D, SpatialDropout2D)

Shape = tuple[int, ...]


def with_shortcuts(layers: Sequence[Layer], shape: Shape, option: str = "residual") -> list[Layer]:
    """Return the layers as residual blocks: y = x + f(LayerNorm(x)).

    f is a dense layer or a convolution with the activation, normalization and dropout that follow it. If it
    changes the shape, x is projected: y = W x + b + f(LayerNorm(x)), where the projection of a convolution
    has a kernel of size 1 and the same strides. The first of these layers, and the first after others such
    as pooling and `Flatten`, stays as it is. A `LayerNorm` follows the last block, because the sum grows from
    block to block.

    Parameters
    ----------
    layers : sequence of Layer
        Layers that belong to no network.
    shape : tuple of int
        The shape of a row before the first of them.
    option : str
        What the user wrote, for errors.

    Raises
    ------
    ConfigurationError
        If there is no block, or a convolution's shape cannot be projected.

    References
    ----------
    He, Zhang, Ren and Sun (2016), Identity mappings in deep residual networks, for the sum that nothing
    changes on its way; Xiong et al. (2020), On layer normalization in the transformer architecture,
    section 3, for the normalization before f and after the last block.
    """
    found: list[Layer] = []
    blocks, within = 0, False
    for group in _groups(layers):
        after = stack.connect(group, shape)
        if isinstance(group[0], _STARTS) and within:
            found.append(Residual([LayerNorm(), *group], _projection(group[0], shape, after, option)))
            blocks += 1
        else:
            if within and blocks and not isinstance(group[0], _STARTS):
                found.append(LayerNorm())
                blocks = 0
            found += group
        within, shape = isinstance(group[0], _STARTS), after
    if blocks:
        return [*found, LayerNorm()]
    if any(isinstance(layer, Residual) for layer in found):
        return found
    raise ConfigurationError(
        f"{option} needs two hidden layers or more, one after the other: the first has no shortcut"
    )


def shortcuts_of_decoder(layers: Sequence[Layer], shape: Shape) -> list[Layer]:
    """Return the layers of a decoder with residual blocks before its first layer that makes an image or X.

    A decoder with one hidden layer, or none, has no block and is returned as it is.

    Parameters
    ----------
    layers : sequence of Layer
        The last dense layer makes X, or the image that convolutions then reverse.
    shape : tuple of int
        The shape of a code.
    """
    last = max(place for place, layer in enumerate(layers) if isinstance(layer, Dense))
    if sum(isinstance(layer, Dense) for layer in layers[:last]) < 2:
        return list(layers)
    return [*with_shortcuts(layers[:last], shape), *layers[last:]]


def _groups(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Divide layers into groups: a dense layer or a convolution with what follows it, or a single layer."""
    groups: list[list[Layer]] = []
    for layer in layers:
        if groups and isinstance(groups[-1][0], _STARTS) and isinstance(layer, _FOLLOWS):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _projection(layer: Layer, before: Shape, after: Shape, option: str) -> Layer | None:
    """Return the layer that gives x the shape of f(x); None if it has it already."""
    if before == after:
        return None
    if isinstance(layer, Dense):
        return Dense(after[-1])
    assert isinstance(layer, (Conv1D, Conv2D))
    projection = type(layer)(after[-1], 1, layer.strides, "same")
    if type(layer)(after[-1], 1, layer.strides, "same").connect(before) != after:
        raise ConfigurationError(
            f"{option}: {layer!r} makes rows of shape {after} from {before}: use padding=same, so that the "
            "two can be added"
        )
    return projection
