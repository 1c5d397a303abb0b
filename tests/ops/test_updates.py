"""Optimizer steps: every backend equals the plain form, and a fault stops every change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.contract import agree

from nnx.backends import Backend

LARGE = 2 * 16384 + 5  # beyond the chunks in which an optimizer may work, and not a multiple of any
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
