"""Draw the statistics of gradients, weights and updates over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nnx.errors import DataError
from nnx.reports.checks import series
from nnx.reports.style import PALETTE, drawing_style, dress, new_figure, plain
from nnx.training.statistics import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 10  # most layers in a legend


class HasStatistics(Protocol):
    """A training history with the values of `WeightStatistics`."""

    @property
    def statistics(self) -> Mapping[str, Sequence[float]]:
        """Return the values of each epoch by names such as ``update_ratio/dense_1``."""

    @property
    def epochs(self) -> Sequence[int]:
        """Return the numbers of the epochs."""


@drawing_style()
def weight_statistics(history: HasStatistics, *, title: str | None = None) -> Figure:
    """Draw gradients, weights, updates and dead units of each layer over the epochs.

    Parameters
    ----------
    history : History
        Of a training with `nnx.WeightStatistics` among its callbacks.
    title : str, optional
        Title of the figure, shown as written.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each kind of value, with a line for each layer.

    Raises
    ------
    DataError
        If the history has no statistics, or they do not fit its epochs.
    """
    kinds = by_kind(history.statistics)
    if not kinds:
        raise DataError("the history has no statistics: train with callbacks=[nnx.WeightStatistics()]")
    columns = min(len(kinds), 2)
    rows = -(-len(kinds) // columns)
    figure = new_figure(4.8 * columns, 3.4 * rows, title)
    grid = figure.add_gridspec(rows, columns)
    layers = list(dict.fromkeys(layer for lines in kinds.values() for layer in lines))
    colours = {layer: PALETTE[place % len(PALETTE)] for place, layer in enumerate(layers)}
    for position, (kind, lines) in enumerate(kinds.items()):
        axes = figure.add_subplot(grid[position // columns, position % columns])
        for layer, given in lines.items():
            values = series(given, f"history {kind}/{layer}")
            if len(values) != len(history.epochs):
                raise DataError(f"{kind}/{layer} has {len(values)} values for {len(history.epochs)} epochs")
            axes.plot(
                history.epochs, values, color=colours[layer], label=plain(layer), marker=_marker(values)
            )
        _finish(axes, kind, len(lines))
    return figure


def by_kind(statistics: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Sequence[float]]]:
    """Return the values of each layer, for each kind of statistic that was recorded."""
    found: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in statistics.items():
        kind, _, layer = name.partition("/")
        if kind in KINDS:
            found.setdefault(kind, {})[layer] = values
    return {kind: found[kind] for kind in KINDS if kind in found}


def _marker(values: NDArray[np.float64]) -> str:
    return "o" if len(values) == 1 else ""


def _finish(axes: Axes, kind: str, lines: int) -> None:
    if kind == "dead_units":
        axes.set_ylim(-0.02, 1.02)
    elif any(np.nanmax(np.asarray(line.get_ydata(), float), initial=0.0) > 0.0 for line in axes.lines):
        axes.set_yscale("log", nonpositive="mask")
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")
    axes.set_title(KINDS[kind])
    dress(axes, grid=True)
    if lines <= FEW:
        axes.legend(loc="best")
