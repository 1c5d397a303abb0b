"""Tests over the whole range of numbers, for every backend and the kernels' sources (fixture `every`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nnx.backends import Backend
from nnx.ops.activations import ACTIVATIONS
from support.number_range import (
    ALPHA,
    EPSILON,
    FRAMEWORKS,
    GAMMA,
    HUBER,
    SELU,
    near,
    numbers,
    outputs_bound,
    slopes_bound,
)  # fmt: skip

ELEMENTWISE = [kind for kind in ACTIVATIONS if kind != "softmax"]
PLAIN = Backend()


@pytest.fixture
def overflowing() -> Iterator[None]:
    """What overflows and underflows here is meant to."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="module", params=[*FRAMEWORKS])
def reference(request: pytest.FixtureRequest) -> Any:
    return FRAMEWORKS[request.param]()


def known(dtype: np.dtype, reference: Any) -> np.ndarray:
    """The numbers that the reference can hold, with their third power, as its GELU needs."""
    x = numbers(dtype)
    size = np.abs(x.astype(np.float64))
    return x[(size < 1e100) & (reference.denormals | (size == 0.0) | (size >= np.finfo(np.float64).tiny))]


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_activations(every: Backend, dtype: np.dtype, reference: Any, kind: str) -> None:
    x = known(dtype, reference).reshape(1, -1)
    if kind == "exponential":  # without those where the derivative's or its product's type ends
        x = x[x < np.log(np.finfo(dtype).max)].reshape(1, -1)
    y, dx = reference.activation(kind, x, np.ones_like(x))
    given = every.asarray(x)
    out = every.activation_forward(kind, given, every.empty(x.shape, dtype), ALPHA)
    near(every.to_numpy(out), y, outputs_bound(kind, x, y), dtype, x)
    for scale in (1.0, -3e-3, float(np.finfo(dtype).max)):
        dy = every.asarray(np.full_like(x, scale))
        back = every.activation_backward(kind, dy, given, out, every.empty(x.shape, dtype), ALPHA)
        near(every.to_numpy(back), dx, slopes_bound(kind, x, dx), dtype, x, scale)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_activations_at_the_ends(every: Backend, kind: str) -> None:
    """What the reference cannot hold in float64: there each is 0, a constant, x or a multiple of it."""
    x = numbers(np.dtype(np.float64))
    x = x[np.abs(x) >= 1e100].reshape(1, -1)
    if kind == "exponential":  # infinite, as in the reference
        x = x[x < 0.0].reshape(1, -1)
    ends = {"tanh": (-1.0, 0.0), "elu": (-ALPHA, 0.0), "selu": (-SELU[0] * SELU[1], 0.0)}
    left, slope = ends.get(kind, (0.0, 0.0))
    slope = {"identity": 1.0, "leaky_relu": ALPHA}.get(kind, slope)
    right = (1.0, 0.0) if kind in ("sigmoid", "tanh", "hard_sigmoid") else (0.0, 1.0)
    right = (0.0, SELU[0]) if kind == "selu" else right
    y = every.activation_forward(kind, every.asarray(x), every.empty(x.shape, x.dtype), ALPHA)
    dx = every.activation_backward(
        kind, every.asarray(np.ones_like(x)), every.asarray(x), y, every.empty(x.shape, x.dtype), ALPHA
    )
    np.testing.assert_array_equal(
        every.to_numpy(y), np.where(x < 0, left + slope * x, right[0] + right[1] * x)
    )
    np.testing.assert_array_equal(every.to_numpy(dx), np.where(x < 0, slope, right[1]))


@pytest.mark.parametrize("columns", [2, 5])
def test_softmax(every: Backend, dtype: np.dtype, reference: Any, columns: int) -> None:
    """Rows of v, −v, 0 and small numbers: e^(x − max) vanishes or not, and nothing overflows."""
    v = known(dtype, reference)
    x = np.stack([v, -v, 0.0 * v, 0.5 * v, v - 1.0][:columns], axis=1)
    dy = np.linspace(-1.0, 2.0, columns, dtype=dtype) * np.ones_like(x)
    y, dx = reference.activation("softmax", x, dy)
    given = every.asarray(x)
    out = every.activation_forward("softmax", given, every.empty(x.shape, dtype))
    back = every.activation_backward("softmax", every.asarray(dy), given, out, every.empty(x.shape, dtype))
    small = np.ones_like(x)
    near(every.to_numpy(out), y, 8.0 * y, dtype, small)
    near(every.to_numpy(back), dx, 16.0 * y, dtype, small)  # dy − Σ dy y: terms of size 2


def targets(kind: str, p: np.ndarray) -> dict[str, np.ndarray]:
    """Targets for predictions of shape (n, columns), by name."""
    if "categorical" in kind:
        first = np.eye(p.shape[1], dtype=p.dtype)
        return {f"class {j}": first[j] * np.ones_like(p) for j in range(p.shape[1])} | {
            "shares": np.full_like(p, 1.0 / p.shape[1])
        }
    if "hinge" in kind:
        return {str(y): np.full_like(p, y) for y in (0.0, 1.0)}
    if "poisson" in kind:
        return {str(y): np.full_like(p, y) for y in (0.0, 0.3, 40.0)}
    if "binary" in kind:
        return {str(y): np.full_like(p, y) for y in (0.0, 1.0, 0.3)}
    return {"0": 0.0 * p, "opposite": -0.4 * p, "equal": p.copy(), "near": p * p.dtype.type(1.0 + 1e-6)}


def loss_bounds(kind: str, y: np.ndarray, p: np.ndarray, value: float) -> tuple[float, float]:
    """How far a row's loss and its gradient may be off, in ε: p − y is rounded, y p may cancel max(p, 0)."""
    top = float(np.max(np.abs(p)))
    if kind == "binary_cross_entropy_from_logits":
        return 8.0 * value + (4.0 * top if 0.0 < y.flat[0] < 1.0 else 1e-8), 8.0
    if kind == "categorical_cross_entropy_from_logits":
        return 8.0 * value + 4.0, 16.0  # log Σ, Σ rounded near 1
    if "focal" in kind:
        return 32.0 * value + 4.0, 32.0  # 1 − p, rounded near 1
    if "poisson" in kind:  # e^z rounds z, and y z may cancel it
        size = min(abs(top), 60.0)
        return 8.0 * value + (4.0 + size) * 42.0 * max(1.0, value), (4.0 + size) * (40.0 + value)
    return 8.0 * value + (2.0 if "hinge" in kind else 0.0), 4.0 if "hinge" in kind else 0.0


RANGED = [
    "squared_error", "absolute_error", "huber", "binary_cross_entropy_from_logits",
    "categorical_cross_entropy_from_logits", "hinge", "squared_hinge", "poisson_from_log",
    "binary_focal_from_logits", "categorical_focal_from_logits",
]  # fmt: skip


@pytest.mark.parametrize("kind", RANGED)
def test_losses(every: Backend, dtype: np.dtype, reference: Any, kind: str) -> None:
    if kind not in reference.losses:
        pytest.skip(f"{type(reference).__name__} has no {kind}, and the other framework has it")
    v = known(dtype, reference)[:: 4 if kind in RANGED[:5] else 40]
    rows = np.stack([v, -v, 0.0 * v], axis=1) if "categorical" in kind else v.reshape(-1, 1)
    info = np.finfo(dtype)
    for name, y in targets(kind, rows).items():
        values, slopes = reference.loss(kind, y, rows)
        for index, (right, slope) in enumerate(zip(values, slopes, strict=True)):
            row, target = rows[index : index + 1], y[index : index + 1]
            got, gradient = taken(every, kind, target, row, (EPSILON, GAMMA) if "focal" in kind else HUBER)
            bound, off = loss_bounds(kind, target, row, abs(right))
            where = f"{name} at {row}: {got}, right {right}; gradient {gradient}, right {slope}"
            rounded = 4e-16 * min(1.0 + float(np.abs(row).max()), 1e3)  # by the reference
            overflows = float(np.max(np.abs(row).astype(float) + np.abs(target))) > 0.99 * info.max
            within = abs(got - right) <= info.eps * bound + rounded
            assert within or (got > 0.99 * info.max and (overflows or right > 0.99 * info.max)), where
            fits = np.abs(slope) < 0.99 * info.max
            allowed = info.eps * (off + 4.0 * np.abs(slope)) + info.tiny
            assert np.all(np.abs(gradient - slope)[fits] <= allowed[fits]), where
            assert np.all(np.sign(gradient) == np.sign(slope), where=~fits), where


def taken(
    backend: Backend, kind: str, target: np.ndarray, row: np.ndarray, constant: Any
) -> tuple[float, np.ndarray]:
    """The loss of one row and its gradient."""
    value, dy = backend.empty(1, row.dtype), backend.empty(row.shape, row.dtype)
    backend.loss(kind, backend.asarray(target), backend.asarray(row), value, dy, 1.0, constant)
    return float(backend.to_numpy(value)[0]), backend.to_numpy(dy)[0]


@pytest.mark.parametrize("kind", ["binary_cross_entropy", "categorical_cross_entropy"])
def test_losses_of_probabilities(every: Backend, dtype: np.dtype, reference: Any, kind: str) -> None:
    """p from the least denormal to 1 − ε and 1, clipped by definition in its own type."""
    info = np.finfo(dtype)
    p = np.concatenate([numbers(dtype)[::3], 1.0 - np.logspace(-18, -1, 40).astype(dtype)])
    p = p[(p >= 0.0) & (p <= 1.0)].astype(dtype).reshape(-1, 1)
    clipped = np.clip(p, EPSILON, 1.0 - EPSILON if kind.startswith("binary") else 1.0)
    assert clipped.dtype == dtype
    for share in (0.0, 1.0, 0.3):
        y = np.full_like(p, share)
        values, slopes = reference.loss(kind, y, clipped)
        for index, (right, slope) in enumerate(zip(values, slopes, strict=True)):
            got, gradient = taken(every, kind, y[index : index + 1], p[index : index + 1], EPSILON)
            assert abs(got - right) <= info.eps * (8.0 * right + 2.0), (share, p[index])
            off = info.eps * (16.0 * abs(slope[0]) + 8.0)
            assert abs(gradient[0] - slope[0]) <= off, (share, p[index], gradient, slope)
