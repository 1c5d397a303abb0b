"""Draw the search for a learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike

from nnx.errors import DataError
from nnx.reports.checks import series
from nnx.reports.style import PALETTE, drawing_style, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class HasRates(Protocol):
    """What `Network.lr_find` returns: ``rates``, ``losses``, ``smoothed`` and ``suggested``."""

    @property
    def rates(self) -> ArrayLike:
        """Return the learning rate of each step."""

    @property
    def losses(self) -> ArrayLike:
        """Return the loss of each step."""

    @property
    def smoothed(self) -> ArrayLike:
        """Return the smoothed losses."""

    @property
    def suggested(self) -> float | None:
        """Return the suggested rate."""


@drawing_style()
def rate_search(found: HasRates, *, title: str | None = None) -> Figure:
    """Draw the loss over the learning rate, on a logarithmic axis, and the suggested rate.

    Parameters
    ----------
    found : RateSearch
        What `Network.lr_find` returned.
    title : str, optional
        Title of the figure, shown as written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        If its arrays are empty or differ in length, or a rate is not above 0.
    """
    rates, losses, smoothed = (series(getattr(found, name), name) for name in ("rates", "losses", "smoothed"))
    if not rates.shape == losses.shape == smoothed.shape:
        raise DataError(
            f"rates, losses and smoothed have {len(rates)}, {len(losses)} and {len(smoothed)} values"
        )
    if not (rates > 0).all():
        raise DataError("a learning rate of the search is not above 0")
    figure = new_figure(6.4, 4.0, title)
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=PALETTE[2], linewidth=0.9, label="loss of the step")
    axes.plot(rates, smoothed, color=PALETTE[0], linewidth=1.8, label="smoothed")
    if found.suggested is not None:
        label = f"suggested: {found.suggested:.3g}"
        axes.axvline(found.suggested, color=PALETTE[6], linestyle="--", linewidth=1.4, label=label)
    axes.set_xscale("log")
    known = np.concatenate([losses[np.isfinite(losses)], smoothed])
    top = float(np.nanmax(smoothed[: max(1, len(smoothed) * 3 // 4)]))
    low, high = float(np.nanmin(known)), max(top, float(np.nanmax(losses[: max(1, len(losses) // 2)])))
    if high > low:  # a loss that explodes at the end would hide everything else
        axes.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    dress(axes, grid=True)
    axes.legend(loc="best")
    return figure
