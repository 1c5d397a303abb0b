"""Draw who imports whom, from the imports in the code, into docs/images/rooms.svg.

Run it:  python docs/draw_rooms.py

An arrow that others imply (cli imports network, and also reports, which imports network) is left out, so
that the order can be seen; tests/documents/test_site.py finds a drawing that is older than the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.rooms import ORDER, imported, modules, room_imported, room_of  # noqa: E402

DRAWING = ROOT / "docs" / "images" / "rooms.svg"
LEFT_OUT = {"nnx", "__main__", "errors", "files", "libraries"}  # the face, its command, what all import
INK, ARROW, BOX = "#1f2933", "#7b8794", "#e3eaf3"

Arrows = dict[str, set[str]]


def arrows() -> Arrows:
    """Each room, and the rooms it imports."""
    found: Arrows = {}
    for path in modules():
        below = found.setdefault(room_of(path), set())
        below |= {target for _, name in imported(path) if (target := room_imported(name))}
    return {
        room: {target for target in targets - {room} if target not in LEFT_OUT}
        for room, targets in found.items()
        if room not in LEFT_OUT
    }


def reduced(graph: Arrows) -> Arrows:
    """Without the arrows that others imply."""

    def below(room: str) -> set[str]:
        return graph[room] | {further for target in graph[room] for further in below(target)}

    return {
        room: {target for target in targets if not any(target in below(other) for other in targets)}
        for room, targets in graph.items()
    }


def places(graph: Arrows) -> dict[str, tuple[float, float]]:
    """Where each room stands: the lines of the order from the bottom up, each spread around the middle."""
    lines = [sorted(rooms & set(graph)) for rooms in ORDER]
    lines = [line for line in lines if line]
    return {
        room: (2.6 * (position - (len(line) - 1) / 2), float(height))
        for height, line in enumerate(lines)
        for position, room in enumerate(line)
    }


def draw(graph: Arrows) -> None:
    """Write the drawing; its description holds the arrows it was drawn from."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    at = places(graph)
    figure = Figure(figsize=(9, 8.5), layout="constrained")
    axes = figure.subplots()
    for room, targets in sorted(reduced(graph).items()):
        for target in sorted(targets):
            (x0, y0), (x1, y1) = at[room], at[target]
            bent = 0.0 if y0 - y1 == 1 else 0.45  # around the rooms between, not behind them
            style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bent}", "shrinkA": 0, "shrinkB": 0}
            ends = (x1, y1 + 0.26), (x0, y0 - 0.26)
            axes.annotate("", *ends, arrowprops=style | {"color": ARROW, "linewidth": 1.1})
    for room, (x, y) in at.items():
        style = {"boxstyle": "round,pad=0.45", "facecolor": BOX, "edgecolor": INK, "linewidth": 0.8}
        axes.text(x, y, room, ha="center", va="center", fontsize=10, color=INK, bbox=style)
    reach = max(abs(x) for x, _ in at.values()) + 1.4
    axes.set(xlim=(-reach, reach), ylim=(-0.6, max(y for _, y in at.values()) + 0.6))
    axes.axis("off")
    described = {"Title": "Who imports whom in nnx", "Description": description(graph), "Date": None}
    with mpl.rc_context({"svg.hashsalt": "nnx", "svg.fonttype": "none"}):
        figure.savefig(DRAWING, metadata=described)


def description(graph: Arrows) -> str:
    """The arrows as one line of text."""
    return json.dumps({room: sorted(targets) for room, targets in sorted(graph.items())})


if __name__ == "__main__":
    draw(arrows())
    print(DRAWING)
