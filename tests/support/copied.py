"""A copy of the package, to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import nnx

PACKAGE = Path(nnx.__file__).parent


def copied(folder: Path) -> Path:
    """Copy the package into a folder, with Numba's compiled kernels, which a changed kernel makes void."""
    ignored = shutil.ignore_patterns("*.pyc", "*.tmp.*")  # what other processes write just now
    return Path(shutil.copytree(PACKAGE, folder / "nnx", ignore=ignored))
