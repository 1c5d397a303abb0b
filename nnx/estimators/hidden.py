"""Make the hidden layers of an estimator from its parameters: dense layers by width, others by text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import nnx
from nnx.errors import ConfigurationError, DataError, whole
from nnx.layers.activations import make
from nnx.layers.assembly import assembled, needs_places, reversed_layers
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
            return [*first, *self._dense(self.given)]
        shaped: list[nnx.Layer] = [nnx.Reshape(self.image)] if self.image != self.rows else []
        return [*shaped, *self._with_dropout(assembled(self._words(), self.image))]

    def decoder(self, code: int) -> list[nnx.Layer]:
        """Return the layers from a code of this width back to rows of X, without a last activation."""
        if not self.by_text:
            shaped: list[nnx.Layer] = [nnx.Reshape(self.rows)] if len(self.rows) > 1 else []
            return [*self._dense(self.given[::-1]), nnx.Dense(math.prod(self.rows)), *shaped]
        words = [*self._words(), Words(nnx.Dense, {"units": code})]
        layers = self._with_dropout(reversed_layers(words, self.image, OPTION))
        return layers if self.image == self.rows else [*layers, nnx.Reshape(self.rows)]

    def _words(self) -> list[Words]:
        return activated(read_layers(self.given, OPTION), usual=self.activation)

    def _dense(self, widths: Sequence[int]) -> list[nnx.Layer]:
        """Return dense layers with these widths, each followed by its activation and dropout."""
        layers: list[nnx.Layer] = []
        for size in widths:
            layers += [nnx.Dense(size), make(self.activation)]
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
