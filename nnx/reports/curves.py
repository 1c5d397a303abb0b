"""Curves over epochs or steps: one run's history, or several runs in one picture."""

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
    """What a training history offers: ``metrics``, and ``epochs`` where they are not simply 1, 2, 3."""

    @property
    def metrics(self) -> Mapping[str, Sequence[float]]:
        """One sequence of values a metric; those on validation data are named ``val_…``."""


@drawing_style()
def learning_curve(
    history: Mapping[str, ArrayLike] | HasMetrics, *, title: str | None = None, log_scale: bool = False
) -> Figure:
    """Draw every metric of a history over its epochs, training and validation in the same axes.

    Parameters
    ----------
    history : mapping or object with ``metrics``
        Name -> values, shape (epochs,); ``loss`` and ``val_loss`` share axes, and so on. An object may carry
        ``epochs``, the number of the epoch of each value; without it they are 1, 2, 3 … Values that are
        None, NaN or infinite leave gaps, and the legend counts them.
    title : str, optional
        Heading of the figure, taken literally.
    log_scale : bool
        Logarithmic vertical axes. Those of accuracies, and of metrics with values of zero or below, stay
        linear: no value is hidden.

    Returns
    -------
    matplotlib.figure.Figure
        One axes a metric, in the order of the history.

    Raises
    ------
    DataError
        No metric, no value, or lengths that differ.
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
                # What has no counterpart on validation data (a learning rate) is not "training" either.
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
    """Draw one curve a run in one axes, so that even curves that agree to the last digit are all seen.

    Parameters
    ----------
    curves : mapping
        Name of the run -> values, shape (n,). The first is drawn broad, later ones narrower and dashed over
        it. Values that are None, NaN or infinite leave gaps, and the legend counts them.
    x : array_like, optional
        Shape (n,): where the values of every curve lie. Without it they lie at 1, 2, 3 …, and curves may
        differ in length.
    xlabel, ylabel, title : str
        Texts, taken literally.
    log_scale : bool
        A logarithmic vertical axis, unless there are values of zero or below.

    Returns
    -------
    matplotlib.figure.Figure
        One axes with one line a curve.

    Raises
    ------
    DataError
        No curve, an empty one, or one that does not fit ``x``.
    """
    if not curves:
        raise DataError("compare_curves: no curve was given; give a mapping of names to values")
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
            raise DataError(f"curve {name!r}: shape {values.shape} does not fit x of shape {positions.shape}")
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
        raise DataError(f"history: {type(history).__name__} is neither a mapping nor has a mapping `metrics`")
    if not given:
        raise DataError("history: no metric; train at least one epoch first")
    metrics = {str(name): series(values, f"history {name!r}") for name, values in given.items()}
    first = next(iter(metrics))
    known = None if isinstance(history, Mapping) else getattr(history, "epochs", None)
    epochs = np.arange(1.0, len(metrics[first]) + 1) if known is None else _positions(known, "history epochs")
    against = f"{first!r}" if known is None else "its epochs"
    for name, values in metrics.items():
        if values.shape != epochs.shape:
            raise DataError(
                f"history {name!r}: shape {values.shape} does not fit {against} of shape {epochs.shape}"
            )
    return metrics, epochs


def _positions(values: ArrayLike, what: str) -> NDArray[np.float64]:
    positions = series(values, what)
    if np.isnan(positions).any():
        raise DataError(f"{what}: some values are NaN or infinite")
    return positions


def _summary(name: str, values: NDArray[np.float64]) -> str:
    """Legend text: the name, the last value, and how many values are missing from the curve."""
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
    """Draw a line; mark every point of a short one, and points between gaps, which no line would show."""
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
