"""Read MNIST as a script does: four gzipped IDX files, without their headers."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np


def images(kind: str) -> np.ndarray:
    """Return the ``train`` or ``t10k`` images, as rows of 784 numbers between 0 and 1."""
    folder = Path(os.environ["NNX_DATA_DIR"])
    name = f"{kind}-images-idx3-ubyte.gz"
    path = folder / name if (folder / name).exists() else folder / "mnist" / name
    with gzip.open(path) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return pixels.reshape(-1, 784).astype(np.float32) / 255
