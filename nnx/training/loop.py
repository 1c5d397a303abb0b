"""Steps and epochs over one network's batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nnx import compiled_loop, initializers
from nnx.backends import Array, Backend
from nnx.data.feeding import Drawn, Resident, Streamed, batches
from nnx.data.rows import HostArray
from nnx.data.samples import Augmentation, Samples
from nnx.distributed import ALONE, Communicator, Part
from nnx.errors import TrainingError
from nnx.layers.plan import Plan
from nnx.losses import Loss
from nnx.losses.base import row_features
from nnx.optimizers import Optimizer
from nnx.training import nonfinite
from nnx.training.callbacks import Callback, Run
from nnx.training.contention import Contention
from nnx.training.signals import Interrupts

AtRest = Callable[[], None]  # called between two steps, when all callbacks were told


class Loop:
    """One run of `fit`: owns the batches, the plan, and the place where losses gather."""

    def __init__(
        self,
        network: Any,
        samples: Samples,
        loss: Loss,
        optimizer: Optimizer,
        batch_size: int,
        shuffle: bool,
        augment: Augmentation | None = None,
        communicator: Communicator = ALONE,
    ) -> None:
        self.communicator = communicator
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.interrupts: Interrupts | None = None
        self.interrupted = False  # whether a rank said in the last exchange that a signal waits
        self.kept, _ = optimizer.state_for(network)
        self.arena = network.arena
        with self.arena.backend.hold():
            self.arena.gradients[...] = 0.0  # what an earlier fault left in layers outside this slice
            self.arena.fault[...] = 0
        self.backend: Backend = self.arena.backend
        self.contention = Contention(self.backend)
        self.rows, self.blocks = len(samples), samples.blocks
        self.shuffle = shuffle
        check_targets = partial(loss.check_targets, features=row_features(network.output_shape))
        self.plan: Plan
        self.plan, self.kind = network.training_plan(loss)
        starts = list(range(0, self.rows, batch_size))
        self.bounds = [(start, min(start + batch_size, self.rows)) for start in starts]
        self.parts = [communicator.part(stop - start) for start, stop in self.bounds]
        most = batch_size if augment is not None else max(part.stop - part.start for part in self.parts)
        self.plan.prepare(max(part.stop - part.start for part in self.parts))
        self.batches = batches(self.backend, samples, most, augment, check_targets)
        self.losses = self.backend.zeros(len(starts), self.arena.dtype)
        self.slots = [self.losses[i : i + 1] for i in range(len(starts))]
        self.weights = samples.weights
        self.shares, self.own_shares = self._shares(np.arange(self.rows))
        self._dy = {
            rows: self.backend.empty((rows, *network.output_shape), self.arena.dtype)
            for rows in {part.stop - part.start for part in self.parts}
        }

    def _shares(self, order: HostArray) -> tuple[HostArray, list[float]]:
        """Each batch's share in the epoch's mean loss, by rows or weights; this rank's in each batch."""
        weights = np.ones(self.rows) if self.weights is None else self.weights[order].astype(np.float64)
        sums = np.add.reduceat(weights, [start for start, _ in self.bounds])
        own = [
            weights[start + part.start : start + part.start + part.rows].sum()
            for (start, _), part in zip(self.bounds, self.parts, strict=True)
        ]
        return sums / sums.sum(), (own / np.where(sums > 0.0, sums, 1.0)).tolist()

    def order(self, batch: int = 0) -> Array | None:
        """The rows in the order of the epoch that is at this batch, uploaded once.

        One batch holds all of them as they are: None where they lie on the device.
        """
        as_they_are = len(self.bounds) == 1 and not isinstance(self.batches, Drawn)
        if as_they_are and isinstance(self.batches, Resident):
            return None
        order = np.arange(self.rows)
        if self.shuffle and not as_they_are:
            order = epoch_order(self.arena.seed, self.arena.step - batch, *self.blocks)
            if self.weights is not None:
                self.shares, self.own_shares = self._shares(order)
        return self.batches.ordered(order)

    def step(self, x: Array, y: Array, weights: Array | None, number: int) -> None:
        """Forward, loss, backward; with other ranks, the sum of their losses and gradients."""
        slot, dy = self.slots[number], self._dy[x.shape[0]]
        part = None if self.communicator.size == 1 else self.parts[number]
        y_pred = self.plan.forward(x, True, self.parts[number].start, part, draw=0)
        self.loss.evaluate(self.backend, y, y_pred, slot, dy, weights, self.kind)
        if part is None:
            self.plan.backward(dy)
            return
        dy *= self.own_shares[number]  # from this rank's mean to its part of the global one
        self.plan.backward(dy)
        arena = self.arena
        behind = arena.exchange[arena.gradients.size :]
        behind[0:1] = slot * self.own_shares[number]
        behind[1:2] = float(self.interrupts is not None and self.interrupts.number > 0)
        self.communicator.sum(arena.exchange, f"the gradients of step {arena.step + 1}")
        slot[...] = behind[0:1]
        self.interrupted = self.backend.synchronous and bool(behind[1])

    def batch(self, order: Array | None, number: int) -> tuple[Array, Array, Array | None]:
        """Inputs, targets and weights of a batch: the same again whenever it is asked for."""
        if order is None:
            assert isinstance(self.batches, Resident)
            return _rows(*self.batches.whole(), self.parts[number])
        if isinstance(self.batches, Drawn):
            # drawn for the whole batch on every rank: so each draws the same whatever their number
            generator = initializers.generator(self.arena.seed, "augmentation", self.arena.step)
            return _rows(
                *self.batches.take(order[slice(*self.bounds[number])], generator), self.parts[number]
            )
        following = self._own(number + 1) if number + 1 < len(self.bounds) else None
        return self.batches.take(order, self._own(number), following)

    def _own(self, number: int) -> slice:
        """Where this rank's rows of a batch stand in the order."""
        start, part = self.bounds[number][0], self.parts[number]
        return slice(start + part.start, start + part.stop)

    def close(self) -> None:
        """Let go of what reads ahead."""
        if isinstance(self.batches, Streamed):
            self.batches.close()

    def epochs(self, run: Run, on_step: Sequence[Callback], at_rest: AtRest | None, most: int) -> None:
        """Train for an epoch, or for up to `most` where a compiled loop can, and record their losses."""
        compiled = None if on_step or run.batch or run.on_nonfinite == "skip" else self._compiled()
        if compiled is None:
            run.record(self.epoch(run, on_step, at_rest))
            return
        batches = len(self.bounds)
        # the first epoch alone: its time tells what compiling took
        most = 1 if run.step == 0 else most
        count = max(1, min(most, compiled_loop.BLOCK // max(batches, self.rows // 32)))
        began = time.perf_counter()
        assert isinstance(self.batches, Resident)
        orders, (x, y, _) = self._orders(count), self.batches.whole()
        losses, done = np.zeros(count * batches, self.arena.dtype), np.zeros(1, np.int64)
        try:
            compiled.run(x, y, orders, self.bounds[0][1], self.kept, losses, done)
        finally:  # what was done stays done, also where an interrupt comes between
            self.arena.step, self.kept.step, run.step = (
                step + int(done[0]) for step in (self.arena.step, self.kept.step, run.step)
            )
            finished, number = divmod(int(done[0]), batches)
            run.history.first_step_seconds = run.history.first_step_seconds or time.perf_counter() - began
            for values in losses.reshape(count, batches)[:finished]:
                run.record(self._mean(values))
        if finished < count:
            self._explain(run, None if batches == 1 else orders[finished % len(orders)], number)

    def _compiled(self) -> compiled_loop.CompiledLoop | None:
        """The compiled loop, asked for anew each time: a callback may have frozen a layer."""
        if not isinstance(self.batches, Resident) or self.weights is not None or self.communicator.size > 1:
            return None
        _, ranges = self.optimizer.state_for(self.network)
        rows = self.bounds[0][1]
        like = self.batches.y.data
        return compiled_loop.prepare(self.plan, self.loss, self.kind, self.optimizer, ranges, rows, like)

    def _orders(self, count: int) -> HostArray:
        """The orders of the next epochs, of shape (count, rows); or one for all of them, (1, rows)."""
        if len(self.bounds) == 1 or not self.shuffle:
            return np.arange(self.rows)[None]
        steps = (self.arena.step + epoch * len(self.bounds) for epoch in range(count))
        return np.stack([epoch_order(self.arena.seed, step, *self.blocks) for step in steps])

    def epoch(self, run: Run, on_step: Sequence[Callback], at_rest: AtRest | None) -> float:
        """Train on every row once, or on those that a checkpoint left of an epoch; the mean loss."""
        order = self.order(run.batch)
        arena, backend, fault = self.arena, self.backend, self.arena.fault
        first = [count - run.batch for count in (arena.step, self.kept.step, run.step)]
        state = arena.state.copy() if arena.state.size else arena.state
        skipping = run.on_nonfinite == "skip"
        began = time.perf_counter()
        for number in range(run.batch, len(self.slots)):
            slot = self.slots[number]
            x, y, weights = self.batch(order, number)
            if (backend.synchronous or skipping) and state.size:
                state[...] = arena.state
            self.step(x, y, weights, number)
            backend.flag_nonfinite(slot, arena.gradients, fault, number + 1)
            if state.size:  # statistics can overflow where neither loss nor gradients do
                backend.flag_nonfinite(slot, arena.state, fault, number + 1)
            if backend.synchronous and fault[0] and not skipping:
                break
            self.optimizer.step(self.network)
            if skipping:
                nonfinite.leave_out(arena, slot, state)
            run.step += 1
            if run.step == 1:
                backend.synchronize()
                run.history.first_step_seconds = time.perf_counter() - began
            for callback in on_step:
                callback.on_step_end(run)
            self.contention.look()
            run.batch = number + 1
            if at_rest is not None and run.batch < len(self.slots):  # behind the last: once it is recorded
                at_rest()
        number = int(fault[0])
        if number:
            try:
                arena.step, self.kept.step, run.step = (count + number - 1 for count in first)
                self._explain(run, order, number - 1)
            finally:  # forward passes at fault have moved running statistics: back to before the batch, or,
                arena.state[...] = state  # where faults are only seen at an epoch's end, before the epoch
        losses = self.backend.to_numpy(self.losses)
        return nonfinite.mean(run, losses, self.shares) if skipping else self._mean(losses)

    def _mean(self, losses: HostArray) -> float:
        """An epoch's loss from its batches'."""
        return float(losses[0]) if len(losses) == 1 else float(np.dot(losses.astype(np.float64), self.shares))

    def _explain(self, run: Run, order: Array | None, number: int) -> None:
        """Run the batch again, parameters being as they were, and name the first layer at fault."""
        self.arena.fault[...] = 0
        x, y, weights = self.batch(order, number)
        self.step(x, y, weights, number)
        # the rank that meets it in the earliest place is believed: others find its gradients only
        where = min(self.communicator.gather(nonfinite.first(self.network, self.plan))).partition(" ")[2]
        raise TrainingError(
            f"epoch {run.epoch + 1}, batch {number + 1}: the loss is {float(self.losses[number]):g} and "
            f"{where} is not finite; the parameters are as before this batch: lower the learning rate, or "
            "clip the gradients (clip_norm=1)"
        )


def _rows(x: Array, y: Array, weights: Array | None, part: Part) -> tuple[Array, Array, Array | None]:
    """A rank's rows of a whole batch."""
    if part.stop - part.start == len(x):
        return x, y, weights
    own = slice(part.start, part.stop)
    return x[own], (x if y is x else y)[own], None if weights is None else weights[own]


def epoch_order(seed: int, step: int, *blocks: int) -> HostArray:
    """The order in which an epoch visits its rows, from the seed and the steps taken before it.

    So a run that is continued goes on with orders of its own, as if it had never been interrupted. Of several
    blocks (shards) one comes after another, in an order of theirs, each with its rows mixed.
    """
    generator = initializers.generator(seed, "shuffles", step)
    if len(blocks) == 1:
        return generator.permutation(blocks[0])
    begins = np.cumsum([0, *blocks])
    chosen = generator.permutation(len(blocks))
    return np.concatenate([begins[number] + generator.permutation(blocks[number]) for number in chosen])
