"""Compute the places of a chart's lines, ticks and points in thousandths of the plot; the page draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

MOST_POSITIONS = 400  # most points of a curve: more than a screen can show
MOST_ROWS = 24  # most rows of a chart's table
LARGEST = 1e200  # larger values fit on no axis, and mean nothing as a loss
SMALLEST = 1e-200  # smaller values fit on no logarithmic axis
LOG_FROM = 20.0  # the axis is logarithmic if largest / smallest value is above this
STYLES = 6  # number of colours for curves
LOWEST, HIGHEST = 400, 800  # limits of a code map's height, in thousandths of its width


@dataclass(frozen=True)
class Tick:
    """A label on an axis, ``at`` thousandths from its start (left or top)."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve: its label, the number of its colour, and an SVG path in thousandths of the plot.

    For each position, `heights` has the place in thousandths from the top (None: not drawn), and `values` the
    recorded value, also NaN and infinity (None: nothing was recorded).
    """

    label: str
    style: int
    dashed: bool
    path: str
    heights: list[float | None]
    values: list[float | None]


@dataclass(frozen=True)
class Chart:
    """Curves over epochs or steps, with axes, and a table of the same values."""

    title: str
    step: str
    log: bool
    positions: list[int]
    at: list[float]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    total: int

    def data(self) -> dict[str, Any]:
        """Return what the page's script needs to show the values at the pointer."""
        lines = []
        for line in self.lines:
            values = [v if v is None else number(v) for v in line.values]
            lines.append({"label": line.label, "y": line.heights, "values": values})
        return {"step": self.step, "positions": self.positions, "x": self.at, "lines": lines}

    def summary(self) -> str:
        """Describe the chart in words, for readers who cannot see it."""
        ends = []
        for line in self.lines:
            known = [value for value in line.values if _drawable(value)]
            span = f" from {number(known[0])} to {number(known[-1])}" if known else ""
            ends.append(line.label + span)
        return f"{self.title} over {self.total:,} {self.step}s: {'; '.join(ends)}"

    def rows(self) -> list[tuple[str, list[str]]]:
        """Return some positions, evenly spread, with the value of each line."""
        chosen = _evenly(len(self.positions), MOST_ROWS)
        return [(f"{self.positions[i]:,}", [number(line.values[i]) for line in self.lines]) for i in chosen]


@dataclass(frozen=True)
class Curve:
    """A curve as it was recorded."""

    label: str
    positions: Sequence[int]
    values: Sequence[float | None]
    style: int = 0
    dashed: bool = False


def chart(title: str, curves: Sequence[Curve], step: str = "epoch", log: bool = True) -> Chart | None:
    """Lay out a chart of curves over steps (or epochs); return None if no value is finite.

    The vertical axis is logarithmic if `log` allows it and the values span more than a factor of 20.
    """
    union = sorted({int(position) for curve in curves for position in curve.positions})
    positions = [union[i] for i in _evenly(len(union), MOST_POSITIONS)]
    columns = [_at(curve, positions) for curve in curves]
    known = np.array([value for column in columns for value in column if _drawable(value)])
    if not known.size:
        return None
    log = bool(log and known.min() > SMALLEST and known.max() / known.min() > LOG_FROM)
    low, high, y_ticks = (_log_axis if log else _linear_axis)(float(known.min()), float(known.max()))
    scale = math.log if log else float

    def height(value: float | None) -> float | None:
        if value is None or not _drawable(value):
            return None
        share = (scale(value) - scale(low)) / (scale(high) - scale(low))
        return round(1000.0 * (1.0 - share), 1)

    first, last = positions[0], positions[-1]
    at = [round(1000.0 * (position - first) / max(last - first, 1), 1) for position in positions]
    lines = []
    for curve, column in zip(curves, columns, strict=True):
        heights = [height(value) for value in column]
        path = _path(at, heights)
        lines.append(Line(curve.label, curve.style % STYLES, curve.dashed, path, heights, column))
    return Chart(title, step, log, positions, at, _x_ticks(first, last), y_ticks, lines, len(union))


def number(value: float | None) -> str:
    """Format a number with at most five digits, or a dash for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def _evenly(count: int, most: int) -> list[int]:
    """Return evenly spread positions, with the first and the last."""
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(count, most)).round())] if count else []


def _at(curve: Curve, positions: Sequence[int]) -> list[float | None]:
    recorded = dict(zip(map(int, curve.positions), curve.values, strict=True))
    return [recorded.get(position) for position in positions]


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and abs(value) < LARGEST


def _linear_axis(low: float, high: float) -> tuple[float, float, list[Tick]]:
    if low == high:
        low, high = low - max(abs(low), 1.0) * 0.1, high + max(abs(high), 1.0) * 0.1
    values = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    low, high = float(values[0]), float(values[-1])
    values = [0.0 if abs(v) < 1e-9 * (high - low) else float(v) for v in values]
    at = [1000.0 * (high - v) / (high - low) for v in values]
    return low, high, list(map(Tick, at, _labels(values)))


def _log_axis(low: float, high: float) -> tuple[float, float, list[Tick]]:
    low, high = low / 1.15, high * 1.15
    subs = (1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)
    ticks = LogLocator(subs=subs, numticks=9).tick_values(low, high)
    values = [float(v) for v in ticks if low <= v <= high]
    at = [1000.0 * math.log(high / v) / math.log(high / low) for v in values]
    return low, high, list(map(Tick, at, _labels(values)))


def _x_ticks(first: int, last: int) -> list[Tick]:
    if first == last:
        return [Tick(0.0, f"{first:,}")]
    values = MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]).tick_values(first, last)
    inside = [int(value) for value in values if first < value <= last and value == int(value)]
    # The first position has a label; labels that would overlap it are left out.
    apart = [value for value in inside if value - first > 0.12 * (last - first)]
    return [Tick(1000.0 * (value - first) / (last - first), f"{value:,}") for value in (first, *apart)]


def _labels(values: Sequence[float]) -> list[str]:
    """Format numbers with at least four digits, and as many more as make them differ."""
    for digits in range(4, 17):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == len(labels):
            break
    return labels


def _path(at: Sequence[float], heights: Sequence[float | None]) -> str:
    """Draw lines between neighbours; a single point is a line of length 0, visible by its round ends."""
    words, drawing = [], False
    for x, y in zip(at, heights, strict=True):
        if y is None:
            drawing = False
        else:
            words.append(f"L{x:g} {y:g}" if drawing else f"M{x:g} {y:g}h0")
            drawing = True
    return "".join(words)


@dataclass(frozen=True)
class Scatter:
    """Predicted values over true ones; on the diagonal they are equal."""

    title: str
    path: str
    diagonal: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    count: int

    def summary(self) -> str:
        """Describe the chart in words."""
        return f"{self.title}: predicted over true values of {self.count:,} rows, with the diagonal"


def scatter(title: str, true: NDArray[Any], predicted: NDArray[Any]) -> Scatter | None:
    """Lay out points (n,) with the same scale on both axes; return None if no pair is finite."""
    pairs = np.stack([true, predicted], axis=1).astype(np.float64)
    pairs = pairs[(np.isfinite(pairs) & (np.abs(pairs) < LARGEST)).all(axis=1)]
    if not len(pairs):
        return None
    low, high, ticks = _linear_axis(float(pairs.min()), float(pairs.max()))
    laid = 1000.0 * (pairs - low) / (high - low)
    path = "".join(f"M{x:.0f} {1000 - y:.0f}h0" for x, y in laid)
    across = [Tick(1000.0 - tick.at, tick.text) for tick in ticks]
    return Scatter(title, path, "M0 1000L1000 0", across, ticks, len(pairs))


@dataclass(frozen=True)
class Group:
    """The points of one class: a path of dots, its middle, and the number of points."""

    label: str
    path: str
    middle: tuple[float, float]
    count: int


@dataclass(frozen=True)
class Map:
    """Points in the plane, by class, on a sheet 1,000 wide; the points decide its `height`."""

    shares: tuple[float, float]
    height: int
    groups: list[Group] = field(default_factory=list)

    def summary(self) -> str:
        """Describe the map in words."""
        total = sum(group.count for group in self.groups)
        return f"{total:,} codes in the plane of their first two principal components, by class"


def code_map(points: NDArray[Any], labels: NDArray[Any], shares: NDArray[Any]) -> Map:
    """Lay out points (n, 2) with labels (n,) on the width of the page, with the same scale on both axes."""
    known = np.isfinite(points).all(axis=1)
    points, labels = points[known].astype(np.float64), labels[known]
    if not len(points):
        return Map((float(shares[0]), float(shares[1])), LOWEST)
    low, high = points.min(axis=0), points.max(axis=0)
    width, tall = (float(side) or 1.0 for side in high - low)
    height = min(max(1000.0 * tall / width, LOWEST), HIGHEST)
    scale = min(960.0 / width, (height - 40.0) / tall)
    laid = (500.0, height / 2) + scale * (points - (low + high) / 2) * (1.0, -1.0)
    drawn = Map((float(shares[0]), float(shares[1])), round(height))
    for label in np.unique(labels):
        mine = laid[labels == label]
        path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in mine)
        middle = np.median(mine, axis=0)
        drawn.groups.append(Group(str(label), path, (float(middle[0]), float(middle[1])), len(mine)))
    return drawn


@dataclass(frozen=True)
class Bars:
    """Bars next to each other, from 0: for each its left edge, its width and its top, in thousandths."""

    title: str
    places: list[tuple[float, float, float]]
    y_ticks: list[Tick]
    values: list[float]

    def summary(self) -> str:
        """Describe the bars in words."""
        ends = f"from {number(self.values[0])} to {number(self.values[-1])}"
        return f"{self.title}: {len(self.values)} bars {ends}"


def bars(title: str, values: NDArray[Any]) -> Bars | None:
    """Lay out one bar for each value (n,), all at least 0; return None if a value cannot be drawn."""
    known = [float(value) for value in values]
    if not known or not all(_drawable(value) and value >= 0.0 for value in known):
        return None
    _, high, ticks = _linear_axis(0.0, max(known))
    width = 1000.0 / len(known)
    places = [
        (round((i + 0.1) * width, 1), round(0.8 * width, 1), round(1000.0 * (1.0 - value / high), 1))
        for i, value in enumerate(known)
    ]
    return Bars(title, places, [tick for tick in ticks if tick.at <= 1000.0], known)
