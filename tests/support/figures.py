"""Read figures back."""

from __future__ import annotations

from typing import Any

import numpy as np

NAN, INF = float("nan"), float("inf")
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def drawn(figure: Any) -> Any:
    """Draw the whole figure, so that a warning given while drawing fails the test."""
    figure.canvas.draw()
    return figure


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]
