"""Paths: the repository, its tests, and the path that a separate process needs."""

from __future__ import annotations

import os
from pathlib import Path

import nnx

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
JOBS = TESTS / "support" / "jobs"
OLD = TESTS / "support" / "old"  # files that version 0.1 wrote
EXPORTED = TESTS / "support" / "exported"  # files that other libraries wrote


def with_helpers(**variables: str) -> dict[str, str]:
    """The environment of a process that imports nnx and these helpers."""
    folders = [str(Path(nnx.__file__).parents[1]), str(TESTS), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))} | variables
