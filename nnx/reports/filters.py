"""Draw what a convolutional network looks for: its filters, and where an image activates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from nnx.errors import DataError
from nnx.reports.checks import numbers, positive
from nnx.reports.style import drawing_style, frame, new_figure, plain

SIGNED = "PuOr_r"  # purple is negative, white is 0, orange is positive
_COLUMNS = 8


@drawing_style()
def filters(W: ArrayLike, *, count: int = 64, title: str | None = None) -> Figure:
    """Draw the filters of a convolution: how much each pixel of the window counts.

    All filters have the same scale, from −m to m, where m is the largest absolute weight. For one channel,
    purple is negative, white is 0 and orange is positive. For three channels, the filter is drawn in colours,
    and grey is 0. For another number of channels, the mean over the channels is drawn as one channel.

    Parameters
    ----------
    W : array_like
        Shape (height, width, channels, filters), finite: the weights of a `nnx.Conv2D`.
    count : int
        The largest number of filters, starting at the first; eight in a row.
    title : str, optional
        Title of the figure, shown as written.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each filter.

    Raises
    ------
    DataError
        If W has another number of axes, is empty, or is not finite.
    ConfigurationError
        If ``count`` is not a positive integer.

    References
    ----------
    Krizhevsky, Sutskever and Hinton (2012), ImageNet classification with deep convolutional neural networks,
    figure 3.
    """
    tiles = filter_tiles(W)[: positive(count, "count")]
    columns = min(len(tiles), _COLUMNS)
    rows = -(-len(tiles) // columns)
    figure = new_figure(max(columns * 0.8, 3.2), rows * 0.8 + 0.5, title)
    grid = figure.add_gridspec(rows, columns)
    for place, tile in enumerate(tiles):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        _show(axes, tile, -1.0, 1.0, SIGNED)
    return figure


@drawing_style()
def activation_maps(
    image: ArrayLike, maps: Mapping[str, ArrayLike], *, count: int = 16, title: str | None = None
) -> Figure:
    """Draw an image, and below it how strongly each place of it activates the channels of some layers.

    The channels of a layer have the same scale: white is its smallest value or 0, whichever is smaller, and
    black is its largest value.

    Parameters
    ----------
    image : array_like
        Shape (height, width), (height, width, 1) or (height, width, 3), values in 0..1.
    maps : mapping of str to array_like
        For each layer its name and its output for this image: shape (height, width, channels), finite.
        `nnx.experiments.convolutions.activations` computes them.
    count : int
        The largest number of channels of a layer, starting at the first; eight in a row.
    title : str, optional
        Title of the figure, shown as written.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for the image, and one for each channel.

    Raises
    ------
    DataError
        If an array has another shape, is empty or not finite, the image has values outside 0..1, or `maps`
        is no dict.
    ConfigurationError
        If ``count`` is not a positive integer.
    """
    picture = _picture(image)
    most = positive(count, "count")
    if not isinstance(maps, Mapping):
        raise DataError('maps must be a dict of the outputs by name, as {"conv2d_1": output[0]}')
    layers = {name: _of_layer(values, name)[:most] for name, values in maps.items()}
    lines = {name: -(-len(channels) // _COLUMNS) for name, channels in layers.items()}
    height = 1.1 * (1 + sum(lines.values())) + 0.6
    figure = new_figure(_COLUMNS * 0.9 + 0.6, height, title)
    grid = figure.add_gridspec(1 + sum(lines.values()), _COLUMNS)
    _show(figure.add_subplot(grid[0, 0]), picture, 0.0, 1.0)
    above = 1
    for name, channels in layers.items():
        low, high = _limits(channels)
        for place, channel in enumerate(channels):
            axes = figure.add_subplot(grid[above + place // _COLUMNS, place % _COLUMNS])
            _show(axes, channel, low, high)
            if place == 0:
                axes.set_ylabel(plain(name), fontsize=8)
        above += lines[name]
    return figure


def filter_tiles(W: ArrayLike) -> NDArray[np.float64]:
    """Return filters as pictures in −1..1: shape (filters, height, width), or with a last axis of 3 colours.

    Raises
    ------
    DataError
        As `filters`.
    """
    array = _finite(W, "W")
    if array.ndim != 4:
        raise DataError(f"W has shape {array.shape}, but needs shape (height, width, channels, filters)")
    if array.shape[2] != 3:
        array = array.mean(axis=2, keepdims=True)
    tiles = np.moveaxis(array, 3, 0) / (np.abs(array).max() or 1.0)
    return tiles if tiles.shape[3] == 3 else tiles[..., 0]


def scaled_maps(channels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the channels of a layer in 0..1, all by the same scale, as `activation_maps` draws them."""
    low, high = _limits(channels)
    return (channels.astype(np.float64) - low) / (high - low)


def mosaic(layers: Sequence[NDArray[np.float64]], side: int) -> NDArray[np.float64]:
    """Put the channels of layers side by side: those of a layer in one line, or several lines.

    Each channel has a thin dark line below and on the right. What no channel fills is 0, which no reader
    takes for a strong activation.

    Parameters
    ----------
    layers : sequence of array of shape (channels, height, width)
    side : int
        Each channel is repeated in both directions as often as it fits into a square of this side.
    """
    lines = []
    for channels in layers:
        times = max(1, side // max(channels.shape[1:]))
        large = channels.repeat(times, axis=1).repeat(times, axis=2)
        framed = np.pad(large, ((0, 0), (0, 1), (0, 1)), constant_values=1.0)
        height, width = framed.shape[1:]
        for start in range(0, len(framed), _COLUMNS):
            line = np.zeros((height, _COLUMNS * (side + 1)))
            for place, tile in enumerate(framed[start : start + _COLUMNS]):
                line[:, place * width : (place + 1) * width] = tile
            lines.append(line)
    return np.concatenate(lines)


def _limits(channels: NDArray[Any]) -> tuple[float, float]:
    low, high = min(float(channels.min()), 0.0), float(channels.max())
    return low, high if high > low else low + 1.0


def _of_layer(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a layer's output for one image as (channels, height, width)."""
    array = _finite(values, f"the output of {name}")
    if array.ndim != 3:
        raise DataError(
            f"the output of {name} has shape {array.shape}, but needs shape (height, width, channels)"
        )
    return np.moveaxis(array, 2, 0)


def _picture(image: ArrayLike) -> NDArray[np.float64]:
    array = _finite(image, "image")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise DataError(f"image has shape {array.shape}, but needs (height, width) and 1 or 3 channels")
    if array.min() < 0.0 or array.max() > 1.0:
        raise DataError(f"image has values from {array.min():g} to {array.max():g}, but needs 0..1")
    return array


def _finite(values: ArrayLike, what: str) -> NDArray[np.float64]:
    array = numbers(values, what)
    if not np.isfinite(array).all():
        raise DataError(f"{what} has values that are NaN or infinite")
    return array


def _show(axes: Axes, tile: NDArray[Any], low: float, high: float, colours: str = "gray_r") -> None:
    """Draw a picture of one channel in the colours of a map, or one of three channels as it is."""
    if tile.ndim == 3:
        axes.imshow((tile - low) / (high - low), interpolation="nearest")
    else:
        axes.imshow(tile, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    frame(axes)
