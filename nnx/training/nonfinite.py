"""Find the first value that is not finite, and undo or skip the step that produced it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.data.batches import Batches
from nnx.data.rows import HostArray
from nnx.errors import ConfigurationError, TrainingError
from nnx.layers.plan import Plan
from nnx.parameters import Arena, OptimizerState
from nnx.training.run import Run

logger = logging.getLogger("nnx.training")
POLICIES = ("stop", "skip", "rollback")
ROLLBACKS = 5


def check_policy(on_nonfinite: str, checkpoints: bool) -> None:
    """Check a policy.

    Raises
    ------
    ConfigurationError
        If it is unknown, or needs checkpoints and there are none.
    """
    if on_nonfinite not in POLICIES:
        raise ConfigurationError(f"on_nonfinite must be stop, skip or rollback, not {on_nonfinite!r}")
    if on_nonfinite == "rollback" and not checkpoints:
        raise ConfigurationError(
            "on_nonfinite='rollback' returns to a checkpoint: set checkpoint=nnx.Checkpoint(folder) without "
            "wait (on the command line: --checkpoint-every)"
        )


class Guard:
    """Check each step of an epoch for values that are not finite, and undo what such a step changed.

    Parameters
    ----------
    run : Run
    arena : Arena
    kept : OptimizerState
    room : array like the running statistics, optional
        Memory for a copy of them.

    Attributes
    ----------
    keeps : bool
        Whether `keep` must be called before each step.
    skips : bool
        Whether `leave_out` must be called after each step: with ``on_nonfinite="skip"``.
    """

    def __init__(self, run: Run, arena: Arena, kept: OptimizerState, room: Array = None) -> None:
        self.run, self.arena, self.kept, self.backend = run, arena, kept, arena.backend
        self.first = [count - run.batch for count in (arena.step, kept.step, run.step)]
        self.statistics = arena.state.size > 0
        self.state = arena.state
        if self.statistics and room is None:
            self.state = arena.state.copy()
        elif self.statistics:
            self.state = room
            self.keep()
        self.skips = run.on_nonfinite == "skip"
        self.synchronous = self.backend.synchronous
        self.keeps = self.statistics and (self.synchronous or self.skips)

    def keep(self) -> None:
        """Copy running statistics before a step. On a GPU, the copy from the start of the epoch stays."""
        self.state[...] = self.arena.state

    def stops(self, slot: Array, number: int) -> bool:
        """Check a step's loss, gradients and running statistics; return whether to end the epoch here."""
        arena, flag = self.arena, self.backend.flag_nonfinite
        parts = arena.sparse.parts(arena.gradients) if arena.sparse else (arena.gradients,)
        for part in parts:
            flag(slot, part, arena.fault, number + 1)
        if self.statistics:  # they can overflow even if the loss and the gradients do not
            flag(slot, arena.state, arena.fault, number + 1)
        return self.synchronous and bool(arena.fault[0]) and not self.skips

    def leave_out(self, slot: Array) -> None:
        """Undo a step with a fault, and set its loss to NaN.

        The optimizer counted this step, but changed no parameters. The running statistics are restored here.
        """
        xp, fault = self.backend.xp, self.arena.fault
        slot[...] = xp.where(fault == 0, slot, float("nan"))
        if self.statistics:
            self.arena.state[...] = xp.where(fault == 0, self.arena.state, self.state)
        fault[...] = 0

    def record(self, value: Array, losses: Array, counter: Array) -> None:
        """Do `stops` on a GPU: the host reads nothing, and the device counts the step."""
        arena = self.arena
        parts = arena.sparse.parts(arena.gradients) if arena.sparse else (arena.gradients,)
        for part in (*parts, arena.state) if self.statistics else parts:
            self.backend.record_step(value, losses, part, arena.fault, counter)

    def undo(self, losses: Array, counter: Array) -> None:
        """Do `leave_out` on a GPU."""
        self.backend.leave_out(self.arena.state, self.state, losses, self.arena.fault, counter)

    def fault(self) -> int:
        """Return the number of the first batch with a fault, from 1; 0 if there is none."""
        return int(self.arena.fault[0])

    @contextmanager
    def restored(self, number: int) -> Iterator[None]:
        """Set the step counts to those before a batch, and at the end restore the running statistics.

        The statistics are those from before the batch; on a GPU, those from before the epoch.
        """
        self.arena.step, self.kept.step, self.run.step = (count + number - 1 for count in self.first)
        try:
            yield
        finally:
            self.arena.state[...] = self.state

    def mean(self, losses: HostArray, batches: Batches) -> float:
        """Return the epoch's mean loss over the batches that were not skipped.

        Raises
        ------
        TrainingError
            If all batches were skipped.
        """
        if not self.skips or not np.isnan(losses).any():
            return batches.mean(losses)
        out = np.isnan(losses)
        numbers = ", ".join(str(number + 1) for number in np.flatnonzero(out)[:5])
        text = f"epoch {self.run.epoch + 1}: skipped {out.sum()} of {len(out)} batches (batch {numbers}"
        text += ", …)" if out.sum() > 5 else ")"
        if out.all():
            raise TrainingError(f"{text}, whose loss or gradients were not finite: lower the learning rate")
        self.run.history.left_out += int(out.sum())
        logger.warning("%s, whose loss or gradients were not finite", text)
        return batches.mean_of(losses, ~out)


def first(network: Any, plan: Plan) -> str:
    """Return the position and description of the first non-finite value in the batch that a plan ran."""
    return next(f"{number:06} {where}" for number, where in enumerate(_faults(network, plan)) if where)


def _faults(network: Any, plan: Plan) -> Iterator[str]:
    def finite(array: Array) -> bool:
        return bool(np.isfinite(plan.backend.to_numpy(array)).all())

    for layer, output in plan.outputs():
        yield "" if finite(output) else f"the output of {layer.name}"
    for layer, term in plan.terms():
        note = f" ({layer.term_note})" if layer.term_note else ""
        yield "" if finite(term) else f"the term {layer.term!r} that {layer.name} adds to the loss{note}"
    for layer, _ in reversed(list(plan.outputs())):
        for name, _, gradient in layer.named_parameters():
            yield "" if finite(gradient) else f"the gradient of {layer.name}.{name}"
    for layer in network.layers:
        for name, value in layer.named_state():
            yield "" if finite(value) else f"{layer.name}.{name}"
    yield "the loss"
