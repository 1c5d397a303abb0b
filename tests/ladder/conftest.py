"""What the ladder of evidence about the GPU stands on: CuPy's real wheel, or the stand-in that computes.

Both are called ``cupy``. The stand-in is found first where its folder is on PYTHONPATH, as it is in the
second half of ``nox -s ladder``; a test says by its mark which of the two it needs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

STANDIN = Path(__file__).parent / "standin"
REASONS = {
    "real": "needs CuPy's real wheel: nox -s ladder",
    "standin": "needs the stand-in for CuPy: nox -s ladder, or its folder on PYTHONPATH beside the wheel",
}


def cupy_here() -> str | None:
    """Which CuPy an import would find: ``"real"``, ``"standin"`` or None."""
    spec = importlib.util.find_spec("cupy")
    if spec is None or spec.origin is None:
        return None
    return "standin" if STANDIN in Path(spec.origin).parents else "real"


CUPY = cupy_here()

# what asks the real CuPy for more than its names cannot even be imported on the stand-in
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if CUPY == "standin" and "mark.standin" not in path.read_text(encoding="utf-8")
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is marked `ladder`, and needs the real wheel unless it says otherwise."""
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        item.add_marker(pytest.mark.ladder)
        needed = "standin" if item.get_closest_marker("standin") else "real"
        if needed != CUPY:
            item.add_marker(pytest.mark.skip(reason=REASONS[needed]))
