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
NEW = [
    nnx.Pinball((0.1, 0.5, 0.6, 0.95)),
    nnx.Pinball(0.3),
    nnx.Poisson(),
    nnx.GaussianNLL(),
    nnx.Hinge(),
    nnx.SquaredHinge(),
    nnx.BinaryFocalCrossEntropy(),
    nnx.CategoricalFocalCrossEntropy(1.5),
    nnx.BinaryCrossEntropy(label_smoothing=0.2),
    nnx.CategoricalCrossEntropy(label_smoothing=0.2),
]
OF_LABELS = [
    "categorical_cross_entropy", "categorical_cross_entropy_from_logits", "categorical_focal",
    "categorical_focal_from_logits", "hinge", "squared_hinge",
]  # fmt: skip
Y = np.array([[0.0, 1.0], [1.0, 0.5]])
P = np.array([[0.5, 0.5], [0.25, 0.5]])


def on(backend: Backend, *arrays: Any, dtype: str = "float64") -> list[Any]:
    return [backend.asarray(np.asarray(x), dtype) for x in arrays]


def constants(kind: str, columns: int = 6) -> Any:
    """The constants of a kind, as its loss in `nnx.losses` gives them."""
    if kind == "pinball":
        return tuple(np.linspace(0.05, 0.95, columns).tolist())
    if "focal" in kind:
        return (1e-7, 2.0)
    return {"huber": 0.2, "gaussian": 1e-3}.get(kind, 1e-7)


def loss_data(
    kind: str, rng: np.random.Generator, rows: int, columns: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions that a kind can take."""
    y, p = rng.uniform(0.0, 1.0, (rows, columns)), rng.uniform(0.02, 0.98, (rows, columns))
    if kind.endswith(("_from_logits", "_from_log")) or kind in ("gaussian", "pinball"):
        p = 3.0 * rng.standard_normal(p.shape)
    if "hinge" in kind:
        y, p = (y > 0.5).astype(float), 3.0 * rng.standard_normal(p.shape)
    if kind == "gaussian":
        p = p[:, :2]
    return (y[:, 0] if kind in ("gaussian", "pinball") else y), p
