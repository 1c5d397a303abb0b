"""Draw pictures of digits: originals above reconstructions, and predictions with their mistakes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from nnx.errors import DataError
from nnx.reports.checks import image_stack, positive, same_length
from nnx.reports.style import MISTAKE, drawing_style, frame, label_text, new_figure

_COLUMNS = 10


@drawing_style()
def reconstructions(
    originals: ArrayLike,
    reconstructed: ArrayLike,
    image_shape: tuple[int, int],
    *,
    count: int = 10,
    labels: ArrayLike | None = None,
) -> Figure:
    """Draw the first images above their reconstructions, with the mean squared error of each below.

    The error of an image is Σ (x − x̂)² / (height · width), computed before values outside 0..1 are cut off
    for drawing.

    Parameters
    ----------
    originals : array_like
        Shape (n, height · width) or (n, height, width), values in 0..1.
    reconstructed : array_like
        The same number of images, finite; values outside 0..1 are drawn as 0 or 1.
    image_shape : (int, int)
        Height and width.
    count : int
        The largest number of images, starting at the first; ten in a row.
    labels : array_like, optional
        Shape (n,): the class of each image, shown above it.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes for each image: for every ten images, a row of originals, then a row of reconstructions.

    Raises
    ------
    DataError
        If an array is empty, shapes differ or do not fit ``image_shape``, or values are out of range.
    ConfigurationError
        If ``count`` or ``image_shape`` is not valid.
    """
    above = image_stack(originals, image_shape, "originals")
    below = image_stack(reconstructed, image_shape, "reconstructed", in_range=False)
    if above.shape != below.shape:
        raise DataError(f"reconstructed has shape {below.shape}, but originals have shape {above.shape}")
    known = None if labels is None else same_length(labels, "labels", above, "originals")
    shown = min(positive(count, "count"), len(above))
    differences = above[:shown].astype(np.float64) - below[:shown].astype(np.float64)
    errors = np.mean(np.square(differences), axis=(1, 2))
    columns, blocks = min(shown, _COLUMNS), -(-shown // _COLUMNS)
    title = "Originals and reconstructions (mean squared error below)"
    figure = new_figure(max(columns * 0.92 + 0.8, 5.6), blocks * 2.3 + 0.4, title)
    grid = figure.add_gridspec(2 * blocks, columns)
    for index in range(shown):
        row, column = 2 * (index // _COLUMNS), index % _COLUMNS
        upper = _show(figure.add_subplot(grid[row, column]), above[index])
        lower = _show(figure.add_subplot(grid[row + 1, column]), below[index])
        if known is not None:
            upper.set_title(label_text(known[index]), fontsize=10)
        lower.set_xlabel(f"{errors[index]:.4f}", fontsize=9)
        if column == 0:
            upper.set_ylabel("original", fontsize=9)
            lower.set_ylabel("reconstruction", fontsize=9)
    return figure


@drawing_style()
def image_grid(images: ArrayLike, image_shape: tuple[int, int], *, columns: int = 10, title: str) -> Figure:
    """Draw images in rows, one after the other.

    Parameters
    ----------
    images : array_like
        Shape (n, height · width) or (n, height, width); values outside 0..1 are drawn as 0 or 1.
    image_shape : (int, int)
        Height and width.
    columns : int
        Images in a row.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each image.

    Raises
    ------
    DataError
        If there is no image, or images do not fit ``image_shape``.
    ConfigurationError
        If ``columns`` or ``image_shape`` is not valid.
    """
    stack = image_stack(images, image_shape, "images", in_range=False)
    columns = min(positive(columns, "columns"), len(stack))
    rows = -(-len(stack) // columns)
    figure = new_figure(max(columns * 0.6, 5.6), rows * 0.66 + 0.5, title)
    grid = figure.add_gridspec(rows, columns)
    for place, image in enumerate(stack):
        _show(figure.add_subplot(grid[place // columns, place % columns]), image)
    return figure


@drawing_style()
def prediction_gallery(
    images: ArrayLike, y_true: ArrayLike, y_pred: ArrayLike, image_shape: tuple[int, int], *, count: int = 40
) -> Figure:
    """Draw test images with their predicted classes. Mistakes come first, in a frame, as "true→predicted".

    The data alone decide which images are shown. A quarter of the places (rounded up) is for mistakes, the
    rest for right predictions; places that one kind cannot fill go to the other. The images of a kind are
    taken at equal steps through the data.

    Parameters
    ----------
    images : array_like
        Shape (n, height · width) or (n, height, width), values in 0..1.
    y_true, y_pred : array_like
        Shape (n,): the true and the predicted classes, both as numbers or both as text.
    image_shape : (int, int)
        Height and width.
    count : int
        The largest number of images; ten in a row.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each image; its horizontal label is the prediction.

    Raises
    ------
    DataError
        If an array is empty, lengths differ, images do not fit ``image_shape``, or values are out of range.
    ConfigurationError
        If ``count`` or ``image_shape`` is not valid.
    """
    stack = image_stack(images, image_shape, "images")
    truth = same_length(y_true, "y_true", stack, "images")
    guess = same_length(y_pred, "y_pred", stack, "images")
    if (truth.dtype.kind in "US") != (guess.dtype.kind in "US"):
        raise DataError(f"y_pred has dtype {guess.dtype}, but y_true has dtype {truth.dtype}")
    wrong = truth != guess
    mistakes, right = _choose(wrong, positive(count, "count"))
    chosen = np.concatenate([mistakes, right])
    columns, rows = min(len(chosen), _COLUMNS), -(-len(chosen) // _COLUMNS)
    title = _gallery_title(wrong, len(mistakes))
    figure = new_figure(max(columns * 0.86, 5.6), rows * 1.12 + 0.7, title)
    grid = figure.add_gridspec(rows, columns)
    for place, index in enumerate(chosen):
        axes = _show(figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS]), stack[index])
        if wrong[index]:
            frame(axes, MISTAKE, 2.5)
            text = f"{label_text(truth[index])}→{label_text(guess[index])}"
            axes.set_xlabel(text, color=MISTAKE, fontweight="bold", fontsize=11)
        else:
            axes.set_xlabel(label_text(guess[index]), fontsize=10)
    return figure


def _show(axes: Axes, image: NDArray[np.generic]) -> Axes:
    axes.imshow(image, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
    frame(axes)
    return axes


def _choose(wrong: NDArray[np.bool_], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    mistakes, right = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    places = min(count, len(wrong))
    share = min(len(mistakes), max(-(-places // 4), places - len(right)))
    return _evenly(mistakes, share), _evenly(right, places - share)


def _evenly(indices: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return indices[np.arange(count) * len(indices) // max(count, 1)]


def _gallery_title(wrong: NDArray[np.bool_], shown: int) -> str:
    total, errors = len(wrong), int(wrong.sum())
    first = f"{total - errors:,} of {total:,} right ({(total - errors) / total:.2%})"
    if not errors:
        return first
    part = f"all {errors:,}" if shown == errors else f"{shown:,} of the {errors:,}"
    return f"{first}\n{part} mistakes shown, framed: true→predicted"
