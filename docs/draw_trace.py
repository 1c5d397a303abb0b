"""Draw a part of what `nnx trace` prints, as in a terminal, into docs/images/trace.svg.

Run it:  python docs/draw_trace.py
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

import nnx  # noqa: E402
from nnx.datasets import load_xor  # noqa: E402
from nnx.tracing.text import render  # noqa: E402

DRAWING = ROOT / "docs" / "images" / "trace.svg"
FIRST = "4  The weight"  # the part that is drawn begins here


def drawn() -> str:
    """The drawing, as SVG without fonts from elsewhere."""
    layers = [nnx.Dense(2, 3), nnx.Tanh(), nnx.Dense(1), nnx.Sigmoid()]
    network = nnx.Network(layers, device="numpy", dtype="float64", seed=0)
    data = load_xor("float64")
    trace = network.trace(data.x_train, data.y_train, "binary_cross_entropy", nnx.Adam(0.1))
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system="standard", highlight=False)
    render(trace, console, "dense_1.W[1, 0]", 3)
    text = file.getvalue()
    screen = Console(record=True, file=io.StringIO(), width=80, force_terminal=True)
    first = next(i for i, line in enumerate(text.splitlines()) if FIRST in line)
    screen.print(Text.from_ansi("\n".join(text.splitlines()[first:])))
    svg = screen.export_svg(title="nnx trace --optimizer adam --learning-rate 0.1", unique_id="trace")
    return re.sub(r"@font-face {.*?}\s*", "", svg, flags=re.DOTALL)  # fonts from elsewhere


if __name__ == "__main__":
    DRAWING.write_text(drawn(), encoding="utf-8")
