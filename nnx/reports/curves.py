"""Draw curves over epochs or steps: the history of one run, or several runs in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nnx.errors import DataError
from nnx.reports.checks import series
from nnx.reports.style import PALETTE, drawing_style, dress, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 30
_ROLES = {"": ("training", PALETTE[0], "-", "o"), "val_": ("validation", PALETTE[6], "--", "s")}


class HasMetrics(Protocol):
    """A training history: it has ``metrics``, and ``epochs`` if they are not simply 1, 2, 3."""

    @property
    def metrics(self) -> Mapping[str, Sequence[float]]:
        """Return the values of each metric; those on validation data are named ``val_…``."""


@drawing_style()
def learning_curve(
    history: Mapping[str, ArrayLike] | HasMetrics, *, title: str | None = None, log_scale: bool = False
) -> Figure:
    """Draw every metric of a history over its epochs, training and validation in the same axes.

    Parameters
    ----------
    history : mapping or object with ``metrics``
        Names and their values, of shape (epochs,). ``loss`` and ``val_loss`` share axes, and so on. An object
        may have ``epochs``, the epoch of each value; without it they are 1, 2, 3 … Values that are None, NaN
        or infinite leave gaps, and the legend counts them.
    title : str, optional
        Title of the figure, shown as written.
    log_scale : bool
        Use logarithmic vertical axes. Axes of accuracies, and of metrics with values of zero or below, stay
        linear, so no value is hidden.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each metric, in the order of the history.

    Raises
    ------
    DataError
        If there is no metric or no value, or lengths differ.
    """
    metrics, epochs = _read_history(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in metrics))
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    width, height = (6.4, 4.0) if len(names) == 1 else (4.4 * columns, 3.4 * rows)
    figure = new_figure(width, height, title)
    grid = figure.add_gridspec(rows, columns)
    for position, name in enumerate(names):
        axes = figure.add_subplot(grid[position // columns, position % columns])
        drawn = []
        for prefix, (role, colour, line, marker) in _ROLES.items():
            if prefix + name in metrics:
                values = metrics[prefix + name]
                # A metric without values on validation data (a learning rate) is not labelled "training".
                label = role if "val_" + name in metrics else name
                _draw(axes, epochs, values, _summary(label, values), colour, line, marker, 1.8)
                drawn.append(values)
        _finish(axes, "epoch", name, log_scale and "accuracy" not in name, drawn)
    return figure


@drawing_style()
def compare_curves(
    curves: Mapping[str, ArrayLike],
    *,
    x: ArrayLike | None = None,
    xlabel: str = "epoch",
    ylabel: str = "loss",
    title: str | None = None,
    log_scale: bool = False,
) -> Figure:
    """Draw one curve for each run in the same axes, so that even curves that agree exactly can all be seen.

    Parameters
    ----------
    curves : mapping
        Names of the runs and their values, of shape (n,). The first curve is wide, later ones are narrower
        and dashed and lie over it. Values that are None, NaN or infinite leave gaps, and the legend counts
        them.
    x : array_like, optional
        Shape (n,): the positions of the values of every curve. Without it they are 1, 2, 3 …, and curves may
        differ in length.
    xlabel, ylabel, title : str
        Texts, shown as written.
    log_scale : bool
        Use a logarithmic vertical axis, unless there are values of zero or below.

    Returns
    -------
    matplotlib.figure.Figure
        One axes with a line for each curve.

    Raises
    ------
    DataError
        If there is no curve, or one is empty or does not fit ``x``.
    """
    if not curves:
        raise DataError("compare_curves got no curve: give a mapping of names to values")
    shared = None if x is None else _positions(x, "x")
    figure = new_figure(6.4, 4.0, title)
    axes = figure.add_subplot()
    drawn = []
    dashes = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
    colours = (PALETTE[0], PALETTE[6], *PALETTE[4:6], PALETTE[2], PALETTE[8])
    for index, (name, given) in enumerate(curves.items()):
        values = series(given, f"curve {name!r}")
        positions = np.arange(1.0, len(values) + 1) if shared is None else shared
        if positions.shape != values.shape:
            raise DataError(f"curve {name!r} has shape {values.shape}, but x has shape {positions.shape}")
        width = max(4.0 - 1.4 * index, 1.4)
        style, colour = dashes[index % len(dashes)], colours[index % len(colours)]
        _draw(axes, positions, values, _summary(name, values), colour, style, "o", width)
        drawn.append(values)
    _finish(axes, xlabel, ylabel, log_scale, drawn)
    return figure


def _read_history(
    history: Mapping[str, ArrayLike] | HasMetrics,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    given = history if isinstance(history, Mapping) else getattr(history, "metrics", None)
    if not isinstance(given, Mapping):
        raise DataError(f"history must be a mapping or have one as `metrics`, not {type(history).__name__}")
    if not given:
        raise DataError("history has no metric: train for at least one epoch first")
    metrics = {str(name): series(values, f"history {name!r}") for name, values in given.items()}
    first = next(iter(metrics))
    known = None if isinstance(history, Mapping) else getattr(history, "epochs", None)
    epochs = np.arange(1.0, len(metrics[first]) + 1) if known is None else _positions(known, "history epochs")
    against = f"{first!r}" if known is None else "its epochs"
    for name, values in metrics.items():
        if values.shape != epochs.shape:
            raise DataError(
                f"history {name!r} of shape {values.shape} does not fit {against} of shape {epochs.shape}"
            )
    return metrics, epochs


def _positions(values: ArrayLike, what: str) -> NDArray[np.float64]:
    positions = series(values, what)
    if np.isnan(positions).any():
        raise DataError(f"{what} has values that are NaN or infinite")
    return positions


def _summary(name: str, values: NDArray[np.float64]) -> str:
    """Return the text for the legend: the name, the last value, and how many values are missing."""
    missing = int(np.isnan(values).sum())
    last = "" if np.isnan(values[-1]) else f", last {values[-1]:.4g}"
    return plain(name) + last + (f" ({missing} of {len(values)} not finite)" if missing else "")


def _draw(
    axes: Axes,
    x: NDArray[np.float64],
    values: NDArray[np.float64],
    label: str,
    colour: str,
    line: str | tuple[float, tuple[float, ...]],
    marker: str,
    width: float,
) -> None:
    """Draw a line; mark every point of a short line, and points between gaps, which a line would not show."""
    known = np.isfinite(values)
    padded = np.concatenate([[False], known, [False]])
    alone = known & ~padded[:-2] & ~padded[2:]
    marked = np.flatnonzero(known if known.sum() <= _FEW else alone)
    axes.plot(
        x, values, color=colour, linestyle=line, linewidth=width, label=label,
        marker=marker, markersize=width + 2, markevery=marked.tolist(),
    )  # fmt: skip


def _finish(
    axes: Axes, xlabel: str, ylabel: str, log_scale: bool, drawn: Sequence[NDArray[np.float64]]
) -> None:
    known = np.concatenate([values[np.isfinite(values)] for values in drawn])
    if log_scale and known.size and (known > 0).all():
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(plain(xlabel))
    axes.set_ylabel(plain(ylabel))
    dress(axes, grid=True)
    axes.legend(loc="best")
