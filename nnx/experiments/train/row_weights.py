"""Read the weights of rows from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nnx.errors import ConfigurationError, DataError, nearest
from nnx.readers import npy
from nnx.readers.arrays import read_any
from nnx.readers.opening import reading
from nnx.readers.types import Array


def read_weights(file: BinaryIO, path: Path, kind: str, weights: str, max_bytes: int) -> Array:
    """Return the rows' weights: an array of the archive, or the array in another file."""
    if kind == "npz":
        file.seek(0)
        with npy.open_npz(file, str(path), max_bytes) as archive:
            names = tuple(archive.members)
            if weights in names:
                return archive.read(weights)
        raise ConfigurationError(f"{path}: has no array {weights!r}{nearest(weights, names)}")
    with reading(weights) as other:
        return read_any(other, Path(weights), max_bytes)


def note_on_zeros(counts: Array, name: str) -> list[str]:
    """Return a note on the rows of weight 0, which are left out; an empty list if there are none."""
    zeros = np.count_nonzero(counts == 0.0)
    note = f"{name}: {zeros:,} of {len(counts):,} rows have the weight 0: they are left out"
    return [note] if zeros else []


def check_weights(
    weights: Array, rows: int, name: str, row: Callable[[int], str] = "row {} (counted from 0)".format
) -> Array:
    """Return weights as float64 of shape (rows,), checked: finite, not negative, not all 0.

    `row` returns what the error calls a row.
    """
    counts = weights.reshape(-1).astype(np.float64) if weights.size == len(weights) else weights
    if counts.shape != (rows,):
        raise DataError(f"{name}: holds {rows:,} samples, but weights of shape {weights.shape}")
    wrong = ~(np.isfinite(counts) & (counts >= 0.0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"{name}: a weight must be a number of at least 0, but that of {row(first)} is {counts[first]:g}"
        )
    if not counts.any():
        raise DataError(f"{name}: all weights are 0: give some rows a weight above 0")
    return counts
