"""Losses: every backend equals the plain form, and stays finite at extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.contract import ROWS, agree, close, room
from support.losses import OF_LABELS, constants, loss_data

from nnx.backends import Backend
from nnx.ops.losses import LOSSES


def loss_arguments(kind: str, rng: np.random.Generator, rows: int, weighted: bool) -> dict[str, Any]:
    y, p = loss_data(kind, rng, rows)
    return {
        "kind": kind, "y_true": y, "y_pred": p, "value": room(1), "dy": room(*p.shape),
        "scale": 1.0 / p.shape[1], "parameter": constants(kind),
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


@pytest.mark.parametrize("kind", OF_LABELS)
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
    of_probabilities = ("cross" in kind or "focal" in kind) and "logits" not in kind
    size = 1.0 if of_probabilities else 1e4
    p = np.array([[0.0, size], [size, 0.0]])
    if not of_probabilities:
        p[0, 0], p[1, 1] = -size, -size
    y = np.array([1.0, 0.0]) if kind in ("pinball", "gaussian") else np.array([[1.0, 0.0], [1.0, 0.0]])
    dy, value = backend.empty((2, 2), dtype), backend.empty(1, dtype)
    weights = backend.asarray(np.ones(2), dtype) if weighted else None
    y, p = backend.asarray(y, dtype), backend.asarray(p, dtype)
    backend.loss(kind, y, p, value, dy, 1.0, constants(kind, 2), weights)
    assert np.isfinite(backend.to_numpy(dy)).all()
    assert np.isfinite(backend.to_numpy(value)).all()


@pytest.mark.parametrize("labels", [False, True])
def test_smoothed_targets(backend: Backend, dtype: np.dtype, rng: np.random.Generator, labels: bool) -> None:
    """In memory that no form of the losses uses: a smoothed loss is that of targets smoothed before."""
    labeled = rng.integers(0, 6, 7)
    dense = np.eye(6)[labeled]
    p = backend.asarray(3.0 * rng.standard_normal((7, 6)), dtype)
    y = backend.asarray(labeled) if labels else backend.asarray(dense, dtype)
    smoothed = backend.smooth_targets(y, p, 0.9, 0.1 / 6)
    expected = 0.9 * dense + 0.1 / 6
    np.testing.assert_allclose(backend.to_numpy(smoothed), expected, rtol=4 * np.finfo(dtype).eps)
    kind, found = "categorical_cross_entropy_from_logits", []
    for targets in (backend.asarray(expected, dtype), smoothed):
        value, dy = backend.empty(1, dtype), backend.empty(p.shape, dtype)
        backend.loss(kind, targets, p, value, dy, 1.0)
        found.append((backend.to_numpy(value), backend.to_numpy(dy)))
    for one, other in zip(*found, strict=True):
        close(one, other, dtype, 42)


@pytest.mark.parametrize("kind", ["hinge", "squared_hinge"])
def test_targets_of_a_hinge_loss_may_be_of_both_forms(kind: str, rng: np.random.Generator) -> None:
    ops, y = Backend(), rng.integers(0, 2, (7, 3)).astype(float)
    p, found = rng.standard_normal((7, 3)), []
    for targets in (y, 2.0 * y - 1.0):
        value, dy = np.empty(1), np.empty((7, 3))
        ops.loss(kind, targets, p, value, dy)
        found.append((value, dy))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    "weights", [None, np.array([0.5, 0.0, 2.0]), np.array([1e30, 3e38, 2e38]), np.zeros(3)]
)
def test_shares_of_rows(backend: Backend, dtype: np.dtype, weights: np.ndarray | None) -> None:
    """They add up to 1, if not all weights are 0; no sum overflows."""
    given = None if weights is None else backend.asarray(weights.astype(dtype))
    shares = backend.to_numpy(backend.row_shares(backend.empty((3, 1), dtype), given)).ravel()
    wide = np.ones(3) if weights is None else weights
    np.testing.assert_allclose(shares, wide / max(wide.sum(), 1e-300), rtol=1e-6)


def test_weights_of_other_rows_are_refused(backend: Backend) -> None:
    """A kernel would read past the end of the weights."""
    with pytest.raises(ValueError, match="reshape"):
        backend.row_shares(backend.empty((6, 1), "float32"), backend.asarray(np.ones(3, np.float32)))


def test_weights_are_repeated(backend: Backend, dtype: np.dtype) -> None:
    weights = backend.asarray(np.array([0.5, 2.0, 1.0], dtype))
    repeated = backend.to_numpy(backend.repeat_weights(weights, 2))
    assert repeated.dtype == dtype
    np.testing.assert_array_equal(repeated, [0.5, 0.5, 2.0, 2.0, 1.0, 1.0])
