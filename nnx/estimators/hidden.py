"""Make the hidden layers of an estimator from its parameters: dense layers by width, others by text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import nnx
from nnx.errors import ConfigurationError, DataError, whole
from nnx.layers import ACTIVATIONS
from nnx.layers.activations import make
from nnx.layers.assembly import assembled, needs_places, reversed_layers
from nnx.layers.shortcuts import shortcuts_of_decoder, with_shortcuts
from nnx.layers.words import Words, activated, read_layers

OPTION = "hidden_layer_sizes"


def sizes(hidden_layer_sizes: Any) -> list[Any]:
    """Return the hidden layers as a list; a single width needs no list, a text can hold several."""
    if isinstance(hidden_layer_sizes, str):
        return [text.strip() for text in hidden_layer_sizes.split(",")]
    several = isinstance(hidden_layer_sizes, Iterable) and getattr(hidden_layer_sizes, "ndim", 1) > 0
    return list(hidden_layer_sizes) if several else [hidden_layer_sizes]


def check_hidden(hidden_layer_sizes: Any, image_shape: Any) -> None:
    """Refuse layers and shapes that are none.

    Raises
    ------
    ConfigurationError
        If a width, a text or a side of an image is invalid; the error names the parameter.
    """
    for size in sizes(hidden_layer_sizes):
        if isinstance(size, str):
            read_layers([size], OPTION)
        else:
            whole(OPTION, size)
    if image_shape is not None:
        if isinstance(image_shape, str) or not isinstance(image_shape, Sequence) or len(image_shape) < 2:
            raise ConfigurationError(
                f"image_shape must be (height, width) or (height, width, channels), not {image_shape!r:.80}"
            )
        for side in image_shape:
            whole("image_shape", side)


class Hidden:
    """The hidden layers of an estimator, for rows of a shape.

    Parameters
    ----------
    estimator : NetworkEstimator
    shape : tuple of int
        The shape of a row of X.

    Raises
    ------
    DataError
        If rows do not fit ``image_shape``.
    ConfigurationError
        If there are convolutions, but rows are flat and there is no ``image_shape``.
    """

    def __init__(self, estimator: Any, shape: tuple[int, ...]) -> None:
        self.activation, self.dropout = estimator.activation, estimator.dropout
        self.residual = estimator.residual
        self.given, self.rows = sizes(estimator.hidden_layer_sizes), tuple(shape)
        self.image = _image(self.rows, estimator.image_shape)
        self.by_text = any(isinstance(size, str) for size in self.given)
        if self.by_text and len(self.image) == 1 and any(map(needs_places, self._words())):
            raise ConfigurationError(
                f"{OPTION} has layers for images, but X has flat rows of {self.rows[0]} numbers: give "
                "image_shape=(height, width, channels), or (length, channels) for sequences"
            )

    def layers(self) -> list[nnx.Layer]:
        """Return the first layers of a network: from rows of X to features."""
        if not self.by_text:
            first: list[nnx.Layer] = [nnx.Flatten()] if len(self.rows) > 1 else []
            dense = self._dense(self.given, self._activations(len(self.given)))
            return [*first, *self._blocks(dense, (math.prod(self.rows),))]
        shaped: list[nnx.Layer] = [nnx.Reshape(self.image)] if self.image != self.rows else []
        hidden = self._with_dropout(assembled(self._words(), self.image))
        return [*shaped, *self._blocks(hidden, self.image)]

    def decoder(self, code: int) -> list[nnx.Layer]:
        """Return the layers from a code of this width back to rows of X, without a last activation."""
        if not self.by_text:
            shaped: list[nnx.Layer] = [nnx.Reshape(self.rows)] if len(self.rows) > 1 else []
            dense = self._dense(self.given[::-1], self._activations(len(self.given))[::-1])
            return [*self._blocks(dense, (code,)), nnx.Dense(math.prod(self.rows)), *shaped]
        words = [*self._words(), Words(nnx.Dense, {"units": code})]
        layers = self._with_dropout(reversed_layers(words, self.image, OPTION))
        if self.residual:
            layers = shortcuts_of_decoder(layers, (code,))
        return layers if self.image == self.rows else [*layers, nnx.Reshape(self.rows)]

    def _words(self) -> list[Words]:
        words = read_layers(self.given, OPTION)
        if isinstance(self.activation, str):
            return activated(words, usual=self.activation)
        places = [place for place, word in enumerate(words) if word.activated]
        if any(word.activation or word.kind in ACTIVATIONS.values() for word in words):
            raise ConfigurationError(
                f"activation={list(self.activation)!r} names the activations of all layers: leave those in "
                f"{OPTION} out, or give one activation"
            )
        for place, name in zip(places, self._activations(len(places)), strict=True):
            words[place] = replace(words[place], activation=name)
        return words

    def _activations(self, layers: int) -> list[str]:
        """Return the activation of each hidden layer that has one."""
        if isinstance(self.activation, str):
            return [self.activation] * layers
        if not isinstance(self.activation, Iterable):
            raise ConfigurationError(
                f"activation must be a name, or a list of names, not {self.activation!r:.60}"
            )
        names = list(self.activation)
        if len(names) != layers:
            raise ConfigurationError(
                f"activation={names!r} has {len(names)} names, but {OPTION}={self.given!r} has {layers} "
                "layers with an activation: give one name for each, or one for all"
            )
        return names

    def _blocks(self, layers: list[nnx.Layer], shape: tuple[int, ...]) -> list[nnx.Layer]:
        """Return the layers, as residual blocks if the estimator wants them."""
        return with_shortcuts(layers, shape, "residual=True") if self.residual else layers

    def _dense(self, widths: Sequence[int], activations: Sequence[str]) -> list[nnx.Layer]:
        """Return dense layers with these widths, each followed by its activation and dropout."""
        layers: list[nnx.Layer] = []
        for size, activation in zip(widths, activations, strict=True):
            function = make(activation)
            layers += [nnx.Dense(size, initializer=function.record.initializer), function]
            if self.dropout:
                layers.append(nnx.Dropout(self.dropout))
        return layers

    def _with_dropout(self, layers: Sequence[nnx.Layer]) -> list[nnx.Layer]:
        """Add dropout after each dense layer with an activation."""
        found: list[nnx.Layer] = []
        for layer in layers:
            found.append(layer)
            if self.dropout and isinstance(layer, nnx.Dense) and layer.activation is not None:
                found.append(nnx.Dropout(self.dropout))
        return found


def _image(rows: tuple[int, ...], image_shape: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of a row as the first layer sees it."""
    if image_shape is None:
        return rows
    image = tuple(int(side) for side in image_shape)
    if _with_channels(rows) != _with_channels(image) and rows != (math.prod(image),):
        raise DataError(
            f"X has rows of shape {rows}, but image_shape={image} needs rows of this shape, or flat rows of "
            f"{math.prod(image)} numbers"
        )
    return image


def _with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an image with its channels; a grey image has one."""
    return (*shape, 1) if len(shape) == 2 else shape


def class_layers(classes: int, multilabel: bool) -> list[nnx.Layer]:
    """Return the last layers of a classifier: a sigmoid for two classes or several labels, else a softmax."""
    binary = classes == 2 and not multilabel
    last = nnx.Sigmoid() if binary or multilabel else nnx.Softmax()
    return [nnx.Dense(1 if binary else classes), last]


def last_activation(loss: nnx.Loss) -> list[nnx.Layer]:
    """Return the activation that the loss of a network that predicts numbers needs, if there is one."""
    return [make(loss.activation)] if loss.activation else []
