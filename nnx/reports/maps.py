"""Draw what a model has learned: codes in the plane, confusion matrices, decision surfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from nnx.errors import DataError
from nnx.reports.checks import finite_matrix, numbers, positive, same_length
from nnx.reports.style import FAINT, INK, PALETTE, drawing_style, dress, label_text, new_figure

_MOST_NUMBERS = 25
_MOST_VALUES = 8


@drawing_style()
def code_map(codes: ArrayLike, labels: ArrayLike, *, title: str | None = None) -> Figure:
    """Draw codes in the plane of their first two principal components, coloured by class.

    The components are those of the covariance of ``codes``, from a full singular value decomposition with
    fixed signs, so the same codes always give the same figure. The points are drawn in a fixed random order,
    so no class covers another. Each class's label is at its median, so classes can be recognized without
    colours.

    Parameters
    ----------
    codes : array_like
        Shape (n, features), finite; n and features are at least 2.
    labels : array_like
        Shape (n,): the class of each code.
    title : str, optional
        Title of the figure, shown as written.

    Returns
    -------
    matplotlib.figure.Figure
        One axes; its labels show each component's share of the variance.

    Raises
    ------
    DataError
        If the codes are empty, not finite or too few, or the labels do not fit them.
    """
    array = finite_matrix(codes, "codes")
    known = same_length(labels, "labels", array, "codes")
    points, shares = plane(array)
    classes, of_point = np.unique(known, return_inverse=True)
    colours = _class_colours(len(classes))
    figure = new_figure(7.2, 5.6, title)
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(points))
    size = float(np.clip(20_000 / len(points), 4, 30))
    # Rasterized: thousands of points as vectors would make a PDF or SVG slow to open.
    x, y = points[order].T
    axes.scatter(x, y, c=colours[of_point[order]], s=size, alpha=0.7, linewidths=0, rasterized=True)
    _mark_classes(axes, points, of_point, classes, colours)
    axes.set_xlabel(f"first component ({shares[0]:.1%} of the variance)")
    axes.set_ylabel(f"second component ({shares[1]:.1%} of the variance)")
    axes.set_aspect("equal", adjustable="datalim")
    dress(axes, grid=True)
    return figure


def plane(codes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first two principal components of codes, (n, 2), and their shares of the variance, (2,)."""
    from sklearn.decomposition import PCA

    array = finite_matrix(codes, "codes")
    if min(array.shape) < 2:
        raise DataError(f"codes have shape {array.shape}, but two components need at least (2, 2)")
    pca = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # equal codes have no variance, so their shares would be 0 / 0
        points = pca.fit_transform(array)
    return points, np.nan_to_num(pca.explained_variance_ratio_)


@drawing_style()
def confusion_matrix(matrix: ArrayLike, labels: Sequence[object], *, title: str | None = None) -> Figure:
    """Draw a confusion matrix in which single mistakes stay visible next to thousands of right answers.

    The colour of a cell is (count / largest count)^0.35: one mistake, next to a count of 1,000, still gets a
    ninth of the scale. Cells of zero have the palest colour and a grey 0.

    Parameters
    ----------
    matrix : array_like
        Shape (classes, classes): rows are true classes, columns are predicted ones; counts or shares.
    labels : sequence
        The names of the classes in this order, shown as written.
    title : str, optional
        Title of the figure; without it, a matrix of counts shows the number and share of right answers.

    Returns
    -------
    matplotlib.figure.Figure
        One axes with the numbers in the cells; for more than 25 classes, a colour bar instead.

    Raises
    ------
    DataError
        If the matrix is empty, not square, negative or not finite, or the labels do not fit it.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    array = finite_matrix(matrix, "matrix", "n")
    if array.shape[0] != array.shape[1] or array.min() < 0:
        raise DataError(
            f"matrix has shape {array.shape} and minimum {array.min():g}, but must be square and >= 0"
        )
    names = [label_text(label) for label in labels]
    if len(names) != len(array):
        raise DataError(f"labels has length {len(names)}, which does not fit a matrix of shape {array.shape}")
    whole = bool((array == np.round(array)).all())
    cells = array.astype(np.int64) if whole else array
    if title is None and whole and cells.sum():
        right, total = int(np.trace(cells)), int(cells.sum())
        title = f"{right:,} of {total:,} right ({right / total:.2%})"
    small = len(array) <= _MOST_NUMBERS
    side = min(2.0 + 0.48 * len(array), 10.0)
    figure = new_figure(max(side, 4.6), max(side, 4.0), title)
    axes = figure.add_subplot()
    display = ConfusionMatrixDisplay(cells, display_labels=names).plot(
        ax=axes, cmap="Blues", colorbar=not small, include_values=small,
        values_format="d" if whole else ".2f", xticks_rotation=90 if max(map(len, names)) > 6 else 0,
        im_kw={"norm": PowerNorm(0.35, vmin=0.0, vmax=float(array.max()) or 1.0)},
        text_kw={"fontsize": 9},
    )  # fmt: skip
    if small:
        _colour_numbers(display, array)
    axes.set(xlabel="predicted", ylabel="true")
    dress(axes)
    return figure


@drawing_style()
def decision_surface(
    predict: Callable[[NDArray[np.float64]], ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    *,
    title: str | None = None,
    resolution: int = 200,
) -> Figure:
    """Draw what a model predicts over the plane, with the points it was trained on.

    A line shows the decision, half-way between the two targets, if the surface crosses it. Up to eight points
    show the value predicted for them.

    Parameters
    ----------
    predict : callable
        Maps float64 points (m, 2) to finite values (m,) or (m, 1). It is called once with the grid, and once
        with ``x`` if that has up to eight points.
    x : array_like
        Shape (n, 2), finite.
    y : array_like
        Shape (n,) or (n, 1): targets with one or two different values.
    title : str, optional
        Title of the figure, shown as written.
    resolution : int
        Number of grid points on each side.

    Returns
    -------
    matplotlib.figure.Figure
        The axes of the surface, then of the colour bar.

    Raises
    ------
    DataError
        If points, targets or predictions have another shape or are not finite, or targets have more than two
        values.
    ConfigurationError
        If ``resolution`` is not a positive integer.
    """
    points = finite_matrix(x, "x", "2")
    if points.shape[1] != 2:
        raise DataError(f"x has shape {points.shape}, but needs shape (n, 2)")
    targets = _one_column(y, "y", len(points))
    classes = np.unique(targets)
    if len(classes) > 2:
        raise DataError(f"y has {len(classes)} different values, but must have one or two")
    low, high = (0.0, 1.0) if targets.min() >= 0 and targets.max() <= 1 else (classes[0], classes[-1])
    if low == high:
        low, high = low - 1.0, high + 1.0
    xs, ys = _sides(points, positive(resolution, "resolution"))
    plane = np.stack(np.meshgrid(xs, ys), axis=-1)
    flat = plane.reshape(-1, 2)
    surface = _one_column(predict(flat), "predict(grid)", len(flat)).reshape(plane.shape[:2])
    figure = new_figure(6.0, 4.8, title)
    axes = figure.add_subplot()
    image = axes.imshow(
        surface, origin="lower", extent=(xs[0], xs[-1], ys[0], ys[-1]), aspect="auto", cmap="PuOr_r",
        vmin=low, vmax=high, interpolation="bilinear", alpha=0.85,
    )  # fmt: skip
    middle = (low + high) / 2
    if surface.min() < middle < surface.max():
        axes.contour(xs, ys, surface, levels=[middle], colors=[INK], linewidths=1.5)
    _draw_targets(axes, predict, points, targets, classes)
    bar = figure.colorbar(image, ax=axes, label="prediction", extend=_beyond(surface, low, high))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, color=FAINT)
    axes.set(xlabel="first input", ylabel="second input")
    dress(axes)
    return figure


def _class_colours(count: int) -> NDArray[Any]:
    if count <= len(PALETTE):
        return np.array(PALETTE[:count])
    return mpl.colormaps["viridis"](np.linspace(0.0, 1.0, count))


def _mark_classes(
    axes: Axes,
    points: NDArray[np.float64],
    of_point: NDArray[np.intp],
    classes: NDArray[Any],
    colours: NDArray[Any],
) -> None:
    handles = []
    for index, value in enumerate(classes):
        text = label_text(value)
        centre = np.median(points[of_point == index], axis=0)
        axes.text(
            centre[0], centre[1], text, fontsize=12, fontweight="bold", ha="center", va="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
        handles.append(Line2D([], [], linestyle="", marker="o", color=colours[index], label=text))
    columns = -(-len(handles) // 20)
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=columns)


def _colour_numbers(display: Any, array: NDArray[np.float64]) -> None:
    """Choose dark or light numbers by the colour of the cell: scikit-learn assumes a linear scale."""
    scaled = display.im_.norm(array)
    for row, column in np.ndindex(array.shape):
        level = scaled[row, column]
        colour = FAINT if level == 0 else "white" if level > 0.55 else INK
        display.text_[row, column].set_color(colour)


def _one_column(values: ArrayLike, what: str, length: int) -> NDArray[np.float64]:
    array = numbers(values, what)
    if array.shape not in ((length,), (length, 1)):
        raise DataError(f"{what} has shape {array.shape}, but needs ({length},) or ({length}, 1)")
    if not np.isfinite(array).all():
        raise DataError(f"{what} has values that are NaN or infinite")
    return array.reshape(-1)


def _sides(points: NDArray[np.float64], resolution: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, last = points.min(axis=0), points.max(axis=0)
    margin = np.where(last > first, 0.3 * (last - first), 0.5)
    sides = np.linspace(first - margin, last + margin, resolution)
    return sides[:, 0], sides[:, 1]


def _draw_targets(
    axes: Axes,
    predict: Callable[[NDArray[np.float64]], ArrayLike],
    points: NDArray[np.float64],
    targets: NDArray[np.float64],
    classes: NDArray[np.float64],
) -> None:
    for value, marker in zip(classes, "os", strict=False):
        chosen = points[targets == value]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], marker=marker, s=90, color="white" if marker == "o" else INK,
            edgecolors=INK, linewidths=1.6, label=f"target {label_text(value)}", zorder=3,
        )  # fmt: skip
    if len(points) <= _MOST_VALUES:
        values = _one_column(predict(points), "predict(x)", len(points))
        for point, value in zip(points, values, strict=True):
            axes.annotate(
                f"{value:.3f}", point, xytext=(0, 9), textcoords="offset points", ha="center", va="bottom",
                path_effects=[withStroke(linewidth=3, foreground="white")], zorder=4,
            )  # fmt: skip
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def _beyond(surface: NDArray[np.float64], low: float, high: float) -> str:
    below, above = surface.min() < low, surface.max() > high
    return "both" if below and above else "min" if below else "max" if above else "neither"
