"""Read the rooms of the code from its files: their order, and who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nnx

ROOT = Path(nnx.__file__).parent

# From the bottom up; a room may import itself and every room of a line above its own.
ORDER = [
    {"errors"},
    {"files", "libraries", "named", "records"},
    {"ops"},
    {"backends"},
    {"distributed", "used_rows"},
    {"parameters", "initializers", "schedules", "model_files"},
    {"layers", "losses", "optimizers"},
    {"metrics", "data"},
    {"training"},
    {"tracing"},
    {"network", "callbacks", "checkpoints"},  # the last two: public names of training
    {"nnx"},  # the face: the public names of all the rooms above
    {"readers", "web_pages"},
    {"tables"},
    {"gradcheck", "estimators", "interop", "standalone"},
    {"datasets", "course"},
    {"experiments"},
    {"reports"},
    {"pages"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import in a file, wherever it stands."""
    package = ("nnx", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def room_imported(name: str) -> str | None:
    """The room that a dotted name leads into; the face for public names; None outside nnx."""
    parts = name.split(".")
    if parts[0] != "nnx":
        return None
    if len(parts) > 1 and ((ROOT / parts[1]).is_dir() or (ROOT / f"{parts[1]}.py").is_file()):
        return parts[1]
    return "nnx"
