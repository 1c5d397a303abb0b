"""What layers for images and for sequences share: their arguments, their shapes, their windows.

Images have the shape (rows, height, width, channels), and sequences (rows, length, channels). Operations
treat a sequence as an image of height 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from nnx.backends import Array
from nnx.errors import ConfigurationError, nearest, whole
from nnx.layers.base import Layer
from nnx.ops import windows as geometry
from nnx.ops.windows import PADDINGS, Pair, Windows
from nnx.records import Case

Sizes = int | Sequence[int]
AXES = {1: "length", 2: "height, width"}


def sizes(what: str, value: Sizes, axes: int) -> tuple[int, ...]:
    """Return a number for each of `axes` axes, from one number for all or one for each.

    Raises
    ------
    ConfigurationError
        If the value is neither.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (whole(what, value),) * axes
    if len(value) != axes:
        numbers = f", or {axes} numbers ({AXES[axes]})" if axes > 1 else ""
        raise ConfigurationError(f"{what} must be a number{numbers}, not {value!r}")
    return tuple(whole(what, one) for one in value)


def known_padding(what: str, value: Any) -> str:
    """Return the name of a padding.

    Raises
    ------
    ConfigurationError
        If it is unknown.
    """
    if value not in PADDINGS:
        hint = nearest(value, PADDINGS) if isinstance(value, str) else ""
        raise ConfigurationError(f'{what} must be "valid" or "same", not {value!r}{hint}')
    return str(value)


def check_axes(layer: Any, axes: int, input_shape: tuple[int, ...]) -> None:
    """Check that rows have `axes` axes and one for the channels.

    Raises
    ------
    ConfigurationError
        If they do not.
    """
    if len(input_shape) != axes + 1:
        shape = (*input_shape, 1) if len(input_shape) == axes else "…"
        raise ConfigurationError(
            f"{layer!r} takes rows of shape ({AXES[axes]}, channels), not {input_shape}: put "
            f"nnx.Reshape({shape}) before it"
        )


def images(x: Array) -> Array:
    """Return a batch of images; sequences become images of height 1."""
    return x if x.ndim == 4 else x.reshape(x.shape[0], 1, *x.shape[1:])


def positions(x: Array) -> Array:
    """Return a batch of images or sequences as (rows, positions, channels)."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])


def pair(numbers: tuple[int, ...]) -> Pair:
    """Return two numbers for the axes of an image; a sequence has height 1."""
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (1, numbers[0])


@functools.lru_cache(1024)
def windows(
    input_shape: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], padding: str
) -> Windows:
    """Return the windows on rows of a shape; errors as in `nnx.ops.windows`."""
    return geometry.windows(pair(input_shape[:-1]), pair(kernel), pair(strides), padding)


def written(numbers: tuple[int, ...]) -> str:
    """Return numbers for the text of a layer: ``2`` for (2, 2), ``(2, 3)`` for others."""
    return str(numbers[0]) if len(set(numbers)) == 1 else str(numbers)


def case(note: str, inputs: tuple[int, ...], **arguments: Any) -> Case:
    """Return a gradient check on three rows of a shape."""
    return Case(arguments, note, {"inputs": inputs, "rows": 3})


class ImageLayer(Layer):
    """Base of the layers that compute each channel of an image or a sequence separately."""

    layout = "shape"
    axes: ClassVar[int] = 2

    @property
    def reads_output(self) -> bool:
        """Return whether a subclass of yours has its own backward pass."""
        return not type(self).backward_into.__module__.startswith("nnx.")

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output's shape, with the same channels.

        Raises
        ------
        ConfigurationError
            If rows have another number of axes, or no window fits.
        """
        check_axes(self, self.axes, input_shape)
        return (*self._after(input_shape), input_shape[-1])

    def _after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output's shape without channels."""
        raise NotImplementedError
