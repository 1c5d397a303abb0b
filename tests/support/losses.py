"""Losses with targets and predictions for them."""

from __future__ import annotations

from typing import Any

import numpy as np

import nnx
from nnx.backends import Backend

ALL = [
    nnx.MeanSquaredError(),
    nnx.MeanSquaredError("sum_over_features"),
    nnx.MeanAbsoluteError(),
    nnx.Huber(0.5),
    nnx.BinaryCrossEntropy(),
    nnx.CategoricalCrossEntropy(),
]
Y = np.array([[0.0, 1.0], [1.0, 0.5]])
P = np.array([[0.5, 0.5], [0.25, 0.5]])


def on(backend: Backend, *arrays: Any, dtype: str = "float64") -> list[Any]:
    return [backend.asarray(np.asarray(x), dtype) for x in arrays]
