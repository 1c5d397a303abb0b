"""Train on a GPU: every step is the same launches, which read what changes from the device's memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nnx.backends import Array
from nnx.data.feeding import Batch
from nnx.data.samples import Samples
from nnx.layers.base import walk
from nnx.layers.randomness import Draws
from nnx.optimizers import Optimizer
from nnx.schedules import Warmup
from nnx.training import nonfinite
from nnx.training.options import FitOptions
from nnx.training.pause import Pause
from nnx.training.ranks import Ranks
from nnx.training.replay import Replay
from nnx.training.run import Run
from nnx.training.step import StepTrainer
from nnx.training.tables import Tables


class DeviceTrainer(StepTrainer):
    """Train a network step by step on a GPU.

    Parameters as for `StepTrainer`.

    Attributes
    ----------
    tables : Tables
        What changes from step to step.
    value : array of shape (1,)
        The loss of the current step.
    guard : Guard
        The search for values that are not finite, in the current epoch.
    counted : bool
        Whether the optimizer reads its numbers from the tables: one of nnx. Your own gets them from the host.
    """

    guard: nonfinite.Guard

    def __init__(self, network: Any, samples: Samples, options: FitOptions, ranks: Ranks) -> None:
        super().__init__(network, samples, options, ranks)
        backend, arena = self.backend, self.arena
        self.value = backend.zeros(1, arena.dtype)
        self._terms = backend.zeros(len(self.terms.names), arena.dtype)
        self._statistics = backend.zeros(arena.state.size, arena.dtype)
        kind = type(self.optimizer)
        self.counted = all(made.__module__.startswith("nnx.") for made in (kind.update, kind.step))
        self._order: Any = None
        self.replay = Replay(self, options.graph == "auto")

    def train(self, run: Run, pause: Pause) -> None:
        """Train for one epoch, or for the rest of the epoch that was resumed; record its mean loss."""
        self._begin(run)
        guard, first = self.guard, run.batch
        began = time.perf_counter()
        for number in range(first, len(self.batches)):
            if number > first:
                self._follow(number, bool(pause.on_step))
            self.replay.step(number)
            self.arena.step += self.counted
            self.kept.step += self.counted
            run.step += 1
            if self.average is not None:  # launched on its own, after the step or its replay
                self.average.update(run.step)
            if run.step == 1:
                self.backend.synchronize()
                run.history.first_step_seconds = time.perf_counter() - began
            pause.after_step()
        self.replay.report(run.history)
        if fault := guard.fault():
            with guard.restored(fault):
                self.explain(run, self._order, fault - 1)
        self.record(run, guard)

    def _begin(self, run: Run) -> None:
        """Upload what changes from step to step in this epoch."""
        host = self.batches.order(self.arena.seed, self.arena.step - run.batch)
        self.guard = nonfinite.Guard(run, self.arena, self.kept, self._statistics)
        if self.replay.changed():
            self._make_tables()
        self.tables.rules = self._rules()
        self._epoch = host
        self.tables.prepare(host, run.batch)
        # a feeder that reads on the host takes the order there
        gathered = self.feeder.resident and host is not None
        self._order = self.tables.order if gathered else self.feeder.begin(host)

    def _make_tables(self) -> None:
        gathered = self.feeder.resident and not self.batches.as_they_are
        drawing = [layer for layer in walk(self.network.layers) if isinstance(layer, Draws)]
        self.tables = Tables(
            self.arena, self.kept, len(self.batches), self.batches.rows if gathered else 0,
            self.batches.bounds[0][1], drawing, self._rules(),
        )  # fmt: skip

    def _rules(self) -> Sequence[Optimizer]:
        """Return the optimizer for each span; for a group it is a copy, which has the schedule of now."""
        return self.optimizer.rules(self.network) if self.counted else ()

    def _follow(self, number: int, called: bool) -> None:
        """Upload again what a callback or your own schedule changed since the last step."""
        own = any(map(_has_own_rate, self.tables.rules))
        if called and self.replay.changed():
            self._make_tables()
            self.tables.prepare(self._epoch, number)
            if self.feeder.resident and self._epoch is not None:
                self._order = self.tables.order
            return
        if called:
            self.tables.rules = self._rules()
        if (called or own) and self.tables.stale(number):
            self.tables.prepare(self._epoch, number)

    def batch(self, number: int) -> Batch:
        """Bring a batch to the GPU; of data that lie there, its rows are gathered."""
        return self.feeder.batch(number, self._order)

    def launch(self, number: int, sent: Batch | None) -> None:
        """Launch everything that a step computes; only the host's counts do not change.

        Data that do not lie on the GPU are sent before: a copy from the host is no part of a recorded step.
        """
        counter, optimizer = self.tables.counter, self.optimizer
        x, y, weights = sent or self.batch(number)
        if self._order is not self.tables.order:
            self.backend.begin_step(counter)
        if self.guard.keeps:
            self.guard.keep()
        self.gradients(x, y, weights, number)
        if self.terms.names:
            self.backend.record_terms(self._terms, self.terms.values, counter)
        self.guard.record(self.value, self.losses, counter)
        if self.counted:
            optimizer.launch(self.network, self.tables.rules, self.tables.numbers)
        else:
            optimizer.step(self.network)
        if self.guard.skips:
            self.guard.undo(self.losses, counter)

    def changing(self) -> list[Array]:
        """Return the arrays that a step changes and a later step reads."""
        arena = self.arena
        arrays = [arena.values, arena.exchange, arena.state, arena.fault, self.losses, self.value]
        arrays += [self.tables.counter, self.terms.values, self._terms, *self.kept.slots.values()]
        arrays += [used.cleared for used in arena.sparse.values() if used.cleared is not None]
        return [x for x in (*arrays, self._statistics) if x.size]

    def memory(self) -> list[Any]:
        """Return the other memory that a step reads or writes, except that of its plan and backend."""
        used = [used.memory() for used in self.arena.sparse.values()]
        return [self.tables, self.feeder, self._dy, self.pieces, *used]

    def rows(self, number: int) -> int:
        """Return how many rows of a batch this rank has."""
        shard = self.batches.shards[number]
        return shard.stop - shard.start

    def bound(self, number: int) -> Any:
        """Return an object that names the plan's arrays for a batch; None if there are none."""
        return self.plan.bound(self.sizes(self.rows(number))[0])

    def slot(self, number: int) -> Array:
        """Return where a step's loss is computed: always in the same place."""
        return self.value

    def terms_at(self, number: int) -> Array:
        """Return where a step's terms of the loss are written: always in the same place."""
        return self._terms

    def gradients(self, x: Array, y: Array, weights: Array | None, number: int) -> None:
        """Compute the loss and all gradients, with keys of dropout masks from the tables."""
        self.arena.keys = self.tables.keys
        try:
            super().gradients(x, y, weights, number)
        finally:
            self.arena.keys = {}

    def explain(self, run: Run, order: Any, number: int) -> None:
        """See `StepTrainer.explain`."""
        self.tables.restart(number)
        if order is not self.tables.order:
            self.backend.begin_step(self.tables.counter)
        super().explain(run, order, number)


def _has_own_rate(rule: Optimizer) -> bool:
    """Return whether a user's code computes the learning rate: it may depend on more than the step."""
    schedule = rule.schedule
    while type(schedule) is Warmup:
        schedule = schedule.after
    return not all(made.__module__.startswith("nnx.") for made in (type(schedule), type(rule).rate))
