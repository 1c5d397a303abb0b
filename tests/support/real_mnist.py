"""The real MNIST files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.places import ROOT


def mnist_directory() -> Path:
    """Directory of the real MNIST files; skips the test where there is none."""
    named = os.environ.get("NNX_DATA_DIR")
    place = Path(named) if named else ROOT.parent / "shared" / "data"
    folder = place if (place / "train-images-idx3-ubyte.gz").is_file() else place / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST in {place} (set NNX_DATA_DIR)")
    return folder
