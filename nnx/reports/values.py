"""Draw predicted values over the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from nnx.errors import DataError
from nnx.reports.checks import finite_matrix
from nnx.reports.style import FAINT, PALETTE, drawing_style, dress, label_text, new_figure

_MOST_TARGETS = 6


@drawing_style()
def predicted_values(true: ArrayLike, predicted: ArrayLike, names: Sequence[object]) -> Figure:
    """Draw predicted values over the true ones, in one axes for each target; on the diagonal they are equal.

    Parameters
    ----------
    true, predicted : array_like
        Shape (n, targets), finite.
    names : sequence
        The names of the targets, shown as written; the first six targets are drawn.

    Returns
    -------
    matplotlib.figure.Figure
        One axes for each target.

    Raises
    ------
    DataError
        If the arrays are empty, not finite, or do not fit each other or the names.
    """
    x, y = finite_matrix(true, "true"), finite_matrix(predicted, "predicted")
    if x.shape != y.shape or len(names) != x.shape[1]:
        raise DataError(
            f"predicted of shape {y.shape} does not fit true of shape {x.shape} with {len(names)} names"
        )
    count = min(len(names), _MOST_TARGETS)
    columns, rows = min(count, 3), -(-count // 3)
    figure = new_figure(max(4.2 * columns, 4.6), 4.0 * rows, "Held-out rows: predicted over true values")
    grid = figure.add_gridspec(rows, columns)
    for index in range(count):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        both = np.concatenate([x[:, index], y[:, index]])
        ends = [float(both.min()), float(both.max())]
        axes.plot(ends, ends, color=FAINT, linewidth=1.2)
        across, up = x[:, index], y[:, index]
        axes.scatter(across, up, s=12, alpha=0.6, linewidths=0, color=PALETTE[0], rasterized=True)
        axes.set_xlabel(f"true {label_text(names[index])}")
        axes.set_ylabel("predicted")
        dress(axes, grid=True)
    return figure
