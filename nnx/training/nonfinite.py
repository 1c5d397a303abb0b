"""Values that are not finite: where they came first, and how training goes on without them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, TrainingError
from nnx.layers.plan import Plan
from nnx.parameters import Arena
from nnx.training.callbacks import Run

logger = logging.getLogger("nnx.training")
POLICIES = ("stop", "skip", "rollback")
ROLLBACKS = 5


def check_policy(on_nonfinite: str, checkpoints: bool) -> None:
    """Raise a `ConfigurationError` for a policy that is unknown, or lacks what it needs."""
    if on_nonfinite not in POLICIES:
        raise ConfigurationError(f"on_nonfinite must be stop, skip or rollback, not {on_nonfinite!r}")
    if on_nonfinite == "rollback" and not checkpoints:
        raise ConfigurationError(
            "on_nonfinite='rollback' goes back to a checkpoint: add nnx.Checkpoint(folder) to the callbacks "
            "(--checkpoint-every)"
        )


def leave_out(arena: Arena, slot: Array, state: Array) -> None:
    """Where the step met a fault, mark its loss by NaN and forget what it did to running statistics.

    The optimizer has changed nothing then, but counted the step. No value is looked at on the host.
    """
    xp = arena.backend.xp
    slot[...] = xp.where(arena.fault == 0, slot, float("nan"))
    if state.size:
        arena.state[...] = xp.where(arena.fault == 0, arena.state, state)
    arena.fault[...] = 0


def mean(run: Run, losses: HostArray, shares: HostArray) -> float:
    """The mean loss of an epoch over the batches that were not left out, which are counted and told.

    Raises
    ------
    TrainingError
        If all were.
    """
    out = np.isnan(losses)
    if not out.any():
        return float(np.dot(losses.astype(np.float64), shares))
    batches = ", ".join(str(number + 1) for number in np.flatnonzero(out)[:5])
    told = f"epoch {run.epoch + 1}: {out.sum()} of {len(out)} batches left out (batch {batches}"
    told += ", …)" if out.sum() > 5 else ")"
    if out.all():
        raise TrainingError(f"{told}: no loss or no gradient was finite: lower the learning rate")
    run.history.left_out += int(out.sum())
    logger.warning("%s, as loss or gradients were not finite", told)
    return float(np.dot(losses[~out].astype(np.float64), shares[~out]) / shares[~out].sum())


def first(network: Any, plan: Plan) -> str:
    """Where it was looked for how long, and what was found, once a plan has run a batch again."""
    return next(f"{number:06} {where}" for number, where in enumerate(_faults(network, plan)) if where)


def _faults(network: Any, plan: Plan) -> Iterator[str]:
    def finite(array: Array) -> bool:
        return bool(np.isfinite(plan.backend.to_numpy(array)).all())

    for layer, output in plan.outputs():
        yield "" if finite(output) else f"the output of {layer.name}"
    for layer, _ in reversed(list(plan.outputs())):
        for name, _, gradient in layer.named_parameters():
            yield "" if finite(gradient) else f"the gradient of {layer.name}.{name}"
    for layer in network.layers:
        for name, value in layer.named_state():
            yield "" if finite(value) else f"{layer.name}.{name}"
    yield "the loss"
