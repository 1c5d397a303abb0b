"""What CuPy's real wheel says of its names: they, and how each may be called, are the stand-in's.

The wheel is asked by a process of its own (`wheel.py`), because both are called ``cupy``; its answer is kept
on disk for that version.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ASKED = Path(__file__).resolve().parents[3] / "support" / "ladder" / "wheel.py"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nnx-host-kernels"


def _installed() -> str:
    for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        try:
            return f"{name}-{importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise ImportError("the stand-in takes its names from CuPy's wheel: pip install cupy-cuda13x")


@functools.cache
def described() -> dict[str, Any]:
    """``{"version": …, "names": {name: {"kind": …, "parameters": …}}}``."""
    key = hashlib.sha256(
        (_installed() + sys.version + ASKED.read_text(encoding="utf-8")).encode()
    ).hexdigest()[:16]
    place = CACHE / f"wheel-{key}.json"
    if not place.is_file():
        done = subprocess.run([sys.executable, "-I", str(ASKED)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImportError(f"CuPy's wheel cannot be asked: {done.stderr}")
        CACHE.mkdir(parents=True, exist_ok=True)
        written = place.with_suffix(f".{os.getpid()}")
        written.write_text(done.stdout, encoding="utf-8")
        written.replace(place)
    answer: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return answer


def kind(name: str) -> str | None:
    """``"ufunc"``, ``"function"``, ``"class"``, ``"module"``, ``"other"``; None for what is not there."""
    found = described()["names"].get(name)
    return None if found is None else found["kind"]


class Call:
    """How a function may be called, by the wheel's own word."""

    def __init__(self, name: str) -> None:
        self.name = name
        described_ = described()["names"].get(name)
        if described_ is None:
            raise AttributeError(f"CuPy has no {name}")
        self.parameters = described_.get("parameters", [])
        kinds = {kind for _, kind, _ in self.parameters}
        in_place = [p for p, kind, _ in self.parameters if kind.startswith("POSITIONAL")]
        self.most = 32 if "VAR_POSITIONAL" in kinds else len(in_place)
        self.in_place = in_place
        self.keywords = {
            p for p, kind, _ in self.parameters if kind in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")
        }
        self.any = "VAR_KEYWORD" in kinds

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse what CuPy would.

        Raises
        ------
        TypeError
            At a keyword that it lacks, or too many arguments.
        """
        if len(args) > self.most:
            raise TypeError(f"{self.name} takes {self.most} arguments at most, but {len(args)} were given")
        for keyword in kwargs:
            if not self.any and keyword not in self.keywords:
                raise TypeError(f"CuPy's {self.name} takes no {keyword}=")
            if keyword in self.in_place[: len(args)]:
                raise TypeError(f"{self.name} is given {keyword} twice")


@functools.cache
def call(name: str) -> Call:
    """`Call` of that name."""
    return Call(name)
