"""What Keras computes, and what nnx says when it reads a Keras model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx.interop import keras as exchange

ROWS, WIDTH = 9, 5
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def outputs(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False))


def with_notes(read: Any, source: Any, *more: Any) -> tuple[nnx.Network, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        network = read(source, *more)
    assert all(one.filename == __file__ for one in said)
    return network, [str(one.message).split(": ", 1)[1] for one in said]


def saved(path: Path) -> Path:
    exchange.export(nnx.Network([nnx.Dense(WIDTH, 3), nnx.ReLU()], seed=0), path)
    return path
