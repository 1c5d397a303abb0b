"""Define the look of every figure: one light style, one palette, user text shown as written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from nnx.errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#333333"
FAINT = "#c8c8c8"
MISTAKE = "#bd1f01"

# M. A. Petroff, "Accessible Color Sequences for Data Visualization", 2021, arXiv:2107.02270, table 1:
# ten colours that differ under the common forms of colour blindness.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "text.usetex": False,
    "font.size": 10,
    "figure.titlesize": 12,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.bbox": None,
    "savefig.dpi": "figure",
    "savefig.facecolor": "auto",
    # A fixed salt gives the elements of an SVG the same names in every run.
    "svg.hashsalt": "nnx",
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """Apply the style in a block or a decorated function, and restore the caller's settings after it."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def new_figure(width: float, height: float, title: str | None) -> Figure:
    """Make a figure of ``width`` by ``height`` inches at 100 dpi, which pyplot does not manage."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    if title is not None:
        figure.suptitle(plain(title))
    return figure


def plain(text: object) -> str:
    r"""Return text that matplotlib shows as written.

    ``$`` would start a formula, and a leading ``_`` would hide a curve from the legend. Control characters
    are replaced by their codes.
    """
    escaped = "\n".join(map(printable, str(text).split("\n"))).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def label_text(label: object) -> str:
    """Return the text of a class label: 7, 7.0 and np.int64(7) all give "7"."""
    value = label.item() if hasattr(label, "item") else label
    return plain(int(value) if isinstance(value, float) and value.is_integer() else value)


def dress(axes: Axes, *, grid: bool = False) -> None:
    """Set what matplotlib would otherwise look up when it draws, after the style has ended."""
    axes.tick_params(which="both", labelsize=9, color=FAINT, labelcolor=INK)
    if grid:
        axes.grid(True, color=FAINT, linewidth=0.6, alpha=0.6)


def frame(axes: Axes, colour: str = FAINT, width: float = 0.8) -> None:
    """Draw a frame of one colour around an image and remove its ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=width)
