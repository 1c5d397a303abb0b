"""Losses: every backend equals the plain form, and stays finite at extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.contract import ROWS, agree, close, room

from nnx.backends import Backend
from nnx.ops.losses import LOSSES


def loss_arguments(kind: str, rng: np.random.Generator, rows: int, weighted: bool) -> dict[str, Any]:
    parameter = 0.2 if kind == "huber" else 1e-7
    logits = kind.endswith("_from_logits")
    p = 3.0 * rng.standard_normal((rows, 6)) if logits else rng.uniform(0.02, 0.98, (rows, 6))
    return {
        "kind": kind, "y_true": rng.uniform(0.0, 1.0, (rows, 6)), "y_pred": p, "value": room(1),
        "dy": room(rows, 6), "scale": 1.0 / 6.0, "parameter": parameter,
        "weights": rng.uniform(0.5, 1.5, rows) if weighted else None,
    }  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_losses(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, rows: int, weighted: bool
) -> None:
    arguments = loss_arguments(kind, rng, rows, weighted)
    for strided in (False, True):
        both = agree(backend, "loss", dtype, arguments, ("value", "dy"), terms=6 * rows, strided=strided,
                     returns=False)  # fmt: skip
    for absent in ("value", "dy"):
        kept = "dy" if absent == "value" else "value"
        alone = agree(
            backend, "loss", dtype, arguments | {absent: None}, (kept,), terms=6 * rows, returns=False
        )
        close(alone[kept], both[kept], dtype, 6 * rows)


@pytest.mark.parametrize("kind", ["categorical_cross_entropy", "categorical_cross_entropy_from_logits"])
@pytest.mark.parametrize("weighted", [False, True])
def test_labels_are_rows_with_a_one(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, kind: str, weighted: bool
) -> None:
    arguments = loss_arguments(kind, rng, 7, weighted)
    labels = rng.integers(0, 6, 7)
    dense = agree(backend, "loss", dtype, arguments | {"y_true": np.eye(6)[labels]}, ("value", "dy"),
                  terms=42, returns=False)  # fmt: skip
    by_label = agree(backend, "loss", dtype, arguments | {"y_true": labels}, ("value", "dy"),
                     terms=42, returns=False)  # fmt: skip
    for name in ("value", "dy"):
        close(by_label[name], dense[name], dtype, 42)


@pytest.mark.parametrize("kind", sorted(LOSSES))
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_stay_finite_at_extremes(backend: Backend, dtype: np.dtype, kind: str, weighted: bool) -> None:
    size = 1e4 if "cross" not in kind or "logits" in kind else 1.0
    p = np.array([[0.0, size], [size, 0.0]])
    if size > 1.0:
        p[0, 0], p[1, 1] = -size, -size
    y = np.array([[1.0, 0.0], [1.0, 0.0]])
    dy, value = backend.empty((2, 2), dtype), backend.empty(1, dtype)
    weights = backend.asarray(np.ones(2), dtype) if weighted else None
    backend.loss(kind, backend.asarray(y, dtype), backend.asarray(p, dtype), value, dy, 1.0, 1e-7, weights)
    assert np.isfinite(backend.to_numpy(dy)).all()
    assert np.isfinite(backend.to_numpy(value)).all()
