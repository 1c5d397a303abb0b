"""Put layers together that were read from texts: flatten rows where needed, and reverse encoders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nnx.errors import ConfigurationError
from nnx.layers.base import Layer
from nnx.layers.convolution import Conv1D, Conv2D, Conv2DTranspose
from nnx.layers.dense import Dense
from nnx.layers.dropout import SpatialDropout1D, SpatialDropout2D
from nnx.layers.pooling import AveragePool1D, AveragePool2D, MaxPool1D, MaxPool2D
from nnx.layers.shapes import Flatten, Reshape
from nnx.layers.upsampling import UpSample1D, UpSample2D
from nnx.layers.words import Words, with_activation

Shape = tuple[int, ...]
_NOT_REVERSED = (SpatialDropout1D, SpatialDropout2D)


def needs_places(word: Words) -> bool:
    """Return whether a layer needs the places of an image or a sequence, as convolution and pooling do."""
    kind = word.kind
    return kind.layout == "shape" and not kind.is_view and kind.input_dtype == "float"


def assembled(words: Sequence[Words], shape: Shape) -> list[Layer]:
    """Return the layers for rows of a shape.

    Rows of several axes are flattened first. If there are convolutions or pooling, rows are flattened before
    the first dense layer after the last of these. Where ``flatten`` is written, nothing is added. An image
    without an axis of channels gets one.
    """
    places = [place for place, word in enumerate(words) if needs_places(word)]
    flat = len(shape) == 1 or any(word.kind is Flatten for word in words)
    layers: list[Layer] = [Reshape((*shape, 1))] if _lacks_channels(words, shape) else []
    for place, word in enumerate(words):
        if not flat and (not places or (place > places[-1] and word.kind is Dense)):
            layers.append(Flatten())
            flat = True
        layers.append(word.layer())
    return layers if flat else [*layers, Flatten()]


def _lacks_channels(words: Sequence[Words], shape: Shape) -> bool:
    first = next((word.kind.__name__ for word in words if needs_places(word)), "")
    return len(shape) == 2 and "2D" in first


def reversed_layers(words: Sequence[Words], shape: Shape, option: str = "layers") -> list[Layer]:
    """Return the decoder for an encoder: from its code to rows of a shape, without a last activation.

    It has the dense layers and convolutions of the encoder in reverse order, with their activations. A
    `Conv2D` becomes a `Conv2DTranspose`, and pooling becomes repetition of pixels (`UpSample2D`).

    Raises
    ------
    ConfigurationError
        If a layer of the encoder cannot be reversed.
    """
    last = max((place for place, word in enumerate(words) if needs_places(word)), default=-1)
    for word in words[: max(last, 0)]:
        if word.width is not None:
            raise ConfigurationError(
                f"{option}: an autoencoder cannot have a width ({word.width}) before convolutions or "
                f"pooling: write 'conv2d {word.width} 1' for a dense layer at each place, or leave it out"
            )
    widths = [word for word in words[last + 1 :] if word.width is not None]
    layers = [replace(word, activation=word.function).layer() for word in reversed(widths[:-1])]
    steps = list(_steps(words[: last + 1], shape))
    if not steps:
        layers.append(Dense(math.prod(shape)))
        return [*layers, Reshape(shape)] if len(shape) > 1 else layers
    inner = steps[-1][2]
    drawn = words[0].initializer
    functions = [with_activation(word.function, drawn) for word, _, _ in steps if word.activated]
    linear = with_activation("")
    layers += [Dense(math.prod(inner), **(functions.pop() if functions else linear)), Reshape(inner)]
    for word, before, after in reversed(steps):
        arguments = functions.pop() if word.activated and functions else linear
        made = _reversed(word, before, arguments, option)
        if made.connect(after) != before:
            raise ConfigurationError(
                f"{option}: the decoder cannot reverse {word.layer()!r}, which makes {after} of {before}: "
                "use padding=same, and a height and width that all strides and pool sizes divide"
            )
        layers.append(made)
    return [*layers, Reshape(shape)] if _lacks_channels(words, shape) else layers


def _steps(words: Sequence[Words], shape: Shape) -> Iterator[tuple[Words, Shape, Shape]]:
    """Yield each layer that needs places, with the shapes of rows before and after it."""
    shape = (*shape, 1) if _lacks_channels(words, shape) else shape
    for word in words:
        before, shape = shape, word.layer().connect(shape)
        if needs_places(word) and not issubclass(word.kind, _NOT_REVERSED):
            yield word, before, shape


def _reversed(word: Words, before: Shape, drawn: dict[str, Any], option: str) -> Layer:
    """Return the layer that reverses one of an encoder, whose rows had the shape `before`.

    `drawn` are the arguments for its activation and its initial weights.
    """
    layer = word.layer()
    if isinstance(layer, Conv2D) and layer.groups == 1:
        return Conv2DTranspose(
            before[-1], layer.kernel_size, layer.strides, layer.padding, dilation=layer.dilation, **drawn
        )
    if isinstance(layer, Conv1D) and layer.groups == 1 and layer.strides == (1,):
        return Conv1D(before[-1], layer.kernel_size, padding=layer.padding, dilation=layer.dilation, **drawn)
    if isinstance(layer, MaxPool2D | AveragePool2D):
        return UpSample2D(layer.strides)
    if isinstance(layer, MaxPool1D | AveragePool1D):
        return UpSample1D(layer.strides)
    raise ConfigurationError(f"{option}: an autoencoder cannot reverse {layer!r}: leave it out")
