"""Losses and optimizer steps: every backend equals the plain one, see `contract`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.contract import ROWS, agree, close, room

from nnx.backends import Backend
from nnx.ops.losses import LOSSES

LARGE = 2 * 16384 + 5  # beyond the chunks in which an optimizer may work, and not a multiple of any

# --------------------------------------------------------------------------------- losses


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


# ----------------------------------------------------------------------------- optimizers

EXTRAS = [{}, {"weight_decay": 0.02}, {"l2": 0.03}, {"weight_decay": 0.02, "l2": 0.03}]
STEPS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("sgd_step", (), {}),
    ("sgd_step", ("velocity",), {"momentum": 0.9}),
    ("sgd_step", ("velocity",), {"momentum": 0.9, "nesterov": True}),
    ("adam_step", ("m", "v"), {"step": 3, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-7}),
    ("rmsprop_step", ("v",), {"rho": 0.8}),
    ("rmsprop_step", ("v", "velocity"), {"rho": 0.8, "momentum": 0.7}),
    ("adagrad_step", ("accumulator",), {}),
]
NAMES = [f"{name}-{'-'.join(options) or 'plain'}" for name, _, options in STEPS]


def step_arguments(
    operation: str,
    rng: np.random.Generator,
    size: int,
    slots: tuple[str, ...],
    options: dict[str, Any],
    fault: int = 0,
) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: rng.uniform(0.1, 1.0, size) for name in slots}
    if "velocity" not in slots and operation in ("sgd_step", "rmsprop_step"):
        arguments["velocity"] = None
    return arguments | {
        "values": rng.standard_normal(size), "gradients": rng.standard_normal(size),
        "fault": np.array([fault]), "learning_rate": 0.05, **options,
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 100, LARGE])
@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: "-".join(extra) or "bare")
@pytest.mark.parametrize(("operation", "slots", "options"), STEPS, ids=NAMES)
def test_optimizer_steps(
    backend: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    operation: str,
    slots: tuple[str, ...],
    options: dict[str, Any],
    extra: dict[str, float],
    size: int,
) -> None:
    arguments = step_arguments(operation, rng, size, slots, options) | extra
    agree(backend, operation, dtype, arguments, ("values", *slots))


@pytest.mark.parametrize(("operation", "slots", "options"), STEPS, ids=NAMES)
def test_a_fault_stops_every_change(
    backend: Backend,
    dtype: np.dtype,
    rng: np.random.Generator,
    operation: str,
    slots: tuple[str, ...],
    options: dict[str, Any],
) -> None:
    arguments = step_arguments(operation, rng, 100, slots, options, fault=3) | EXTRAS[3]
    arguments["gradients"][::2] = np.nan
    # named as no output at all: everything must come out as it went in
    agree(backend, operation, dtype, arguments, (), returns=False)


@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clip_by_norm(backend: Backend, dtype: np.dtype, rng: np.random.Generator, limit: float) -> None:
    host = [rng.standard_normal(40).astype(dtype), rng.standard_normal(3).astype(dtype)]
    norm = float(np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in host)))
    device = [backend.asarray(g.copy()) for g in host]
    backend.clip_by_norm(device, limit)
    for before, after in zip(host, device, strict=True):
        if norm <= limit:
            np.testing.assert_array_equal(backend.to_numpy(after), before)
        else:
            close(backend.to_numpy(after), before * (limit / norm), dtype, 43)


@pytest.mark.parametrize("size", [1e20, 1e-30])
def test_clip_by_norm_where_a_square_does_not_fit(
    backend: Backend, dtype: np.dtype, rng: np.random.Generator, size: float
) -> None:
    """In float32 the square of 1e20 is infinite and that of 1e-30 zero; direction and norm come out right."""
    host = [(size * rng.standard_normal(n)).astype(dtype) for n in (40, 3)]
    norm = math.sqrt(sum(np.sum(g.astype(float) ** 2) for g in host))
    device = [backend.asarray(g.copy()) for g in host]
    with backend.quiet():
        backend.clip_by_norm(device, 0.5)
    for before, after in zip(host, device, strict=True):
        close(backend.to_numpy(after), before.astype(float) * min(1.0, 0.5 / norm), dtype, 43)
    clipped = math.sqrt(sum(np.sum(backend.to_numpy(g).astype(float) ** 2) for g in device))
    assert clipped == pytest.approx(min(norm, 0.5), rel=1e-5)


def test_clip_by_norm_of_nothing(backend: Backend, dtype: np.dtype) -> None:
    gradients = backend.zeros(5, dtype)
    backend.clip_by_norm([gradients], 1.0)
    assert not backend.to_numpy(gradients).any()


def test_clip_by_value(backend: Backend, dtype: np.dtype, rng: np.random.Generator) -> None:
    gradients = 3.0 * rng.standard_normal(50)
    clipped = agree(backend, "clip_by_value", dtype, {"gradients": gradients, "limit": 0.5}, ("gradients",))
    assert np.abs(clipped["gradients"]).max() == 0.5


@pytest.mark.parametrize(
    ("loss", "gradient", "fault"),
    [(1.0, 1.0, 0), (np.nan, 1.0, 4), (np.inf, 1.0, 4), (1.0, np.nan, 4), (1.0, -np.inf, 4), (1.0, 1e30, 0)],
)
def test_flag_nonfinite(backend: Backend, dtype: np.dtype, loss: float, gradient: float, fault: int) -> None:
    gradients = np.ones(70)
    gradients[33] = gradient  # 1e30: its square overflows in float32, it does not
    flag = backend.zeros(1, "int64")
    with backend.quiet():
        device = backend.asarray(np.array([loss]), dtype), backend.asarray(gradients, dtype)
        assert backend.flag_nonfinite(*device, flag, 4) is flag
        assert int(flag[0]) == fault
        backend.flag_nonfinite(device[0] * np.nan, device[1], flag, 9)
    assert int(flag[0]) == (fault or 9), "the first fault is the one to keep"
