"""Train an epoch step by step, on any backend."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from nnx import initializers
from nnx.backends import Array
from nnx.data.batches import Batches
from nnx.data.feeding import feeder
from nnx.data.samples import Samples
from nnx.distributed import Shard
from nnx.errors import TrainingError
from nnx.layers.plan import Plan
from nnx.layers.terms import Terms
from nnx.losses.base import row_features
from nnx.parameters import Arena
from nnx.training import nonfinite
from nnx.training.accumulation import Pieces
from nnx.training.average import WeightAverage
from nnx.training.options import FitOptions
from nnx.training.pause import Pause
from nnx.training.ranks import Ranks
from nnx.training.run import Run
from nnx.training.terms import TermsOfBatches


class StepTrainer:
    """Train a network step by step: batch, forward, loss, backward, update.

    Parameters
    ----------
    network : Network
    samples : Samples
        The training data.
    options : FitOptions
    ranks : Ranks
        Sums gradients over the processes of a job.

    Attributes
    ----------
    losses : array
        Loss of each batch of the current epoch.
    terms : TermsOfBatches
        The terms in these losses that layers added.
    steps_of_an_epoch : int
    kept : OptimizerState
        The optimizer's state for this network.
    pieces : Pieces or None
        The pieces of a step, with ``accumulate``.
    average : WeightAverage or None
        The running average of the parameters, with ``average``.
    """

    def __init__(self, network: Any, samples: Samples, options: FitOptions, ranks: Ranks) -> None:
        self.network, self.loss, self.optimizer = network, options.loss, options.optimizer
        self.samples, self.ranks = samples, ranks
        self.kept, _ = options.optimizer.state_for(network)
        arena: Arena = network.arena
        self.arena, self.backend = arena, arena.backend
        with self.backend.hold():
            arena.gradients[...] = 0.0  # an earlier run that failed may have left NaN outside this slice
            arena.sparse.forget()
            arena.fault[...] = 0
        self.plan: Plan
        self.plan, self.kind = network.training_plan(options.loss)
        mix_one = options.augment is not None
        self.average = None if options.average is None else WeightAverage(arena, options.average)
        size = options.batch_size * options.accumulate
        self.batches = Batches(samples, size, options.communicator, options.shuffle, mix_one)
        self.terms = TermsOfBatches(network, len(self.batches))
        self.pieces: Pieces | None = None
        if options.accumulate > 1:
            self.pieces = Pieces(arena, options.batch_size, self._pass, len(self.terms.names))
        sizes = {rows for shard in self.batches.shards for rows in self.sizes(shard.stop - shard.start)}
        self.plan.prepare(max(sizes))
        self.feeder = feeder(
            self.backend, samples, self.batches, options.augment,
            check_targets=partial(options.loss.check_targets, features=row_features(network.output_shape)),
            draw=lambda: initializers.generator(arena.seed, "augmentation", arena.step),
            sparse=network.takes_sparse,
        )  # fmt: skip
        self.steps_of_an_epoch = len(self.batches)
        self.losses = self.backend.zeros(len(self.batches), arena.dtype)
        self._slots = [self.losses[i : i + 1] for i in range(len(self.batches))]
        self._dy = {rows: self.backend.empty((rows, *network.output_shape), arena.dtype) for rows in sizes}

    def sizes(self, rows: int) -> list[int]:
        """Return the number of rows of each pass of a step."""
        return [rows] if self.pieces is None else self.pieces.sizes(rows)

    def train(self, run: Run, pause: Pause) -> None:
        """Train for one epoch, or for the rest of the epoch that was resumed; record its mean loss."""
        order = self.feeder.begin(self.batches.order(self.arena.seed, self.arena.step - run.batch))
        guard = nonfinite.Guard(run, self.arena, self.kept)
        began = time.perf_counter()
        for number in range(run.batch, len(self._slots)):
            x, y, weights = self.feeder.batch(number, order)
            if guard.keeps:
                guard.keep()
            self.gradients(x, y, weights, number)
            if guard.stops(self._slots[number], number):
                break
            self.optimizer.step(self.network)
            if guard.skips:
                guard.leave_out(self._slots[number])
            run.step += 1
            if self.average is not None:
                self.average.update(run.step)
            if run.step == 1:
                self.backend.synchronize()
                run.history.first_step_seconds = time.perf_counter() - began
            pause.after_step()
        if fault := guard.fault():
            with guard.restored(fault):
                self.explain(run, order, fault - 1)
        self.record(run, guard)

    def record(self, run: Run, guard: nonfinite.Guard) -> None:
        """Record the epoch's mean loss, and the means of the terms in it."""
        losses = self.backend.to_numpy(self.losses)
        run.record(guard.mean(losses, self.batches))
        if self.terms.names:
            self.terms.record(run, self.backend.to_numpy(self.terms.values), losses, self.batches)

    def gradients(self, x: Array, y: Array, weights: Array | None, number: int) -> None:
        """Compute the loss of a batch and all gradients: forward, loss, backward."""
        slot, shard = self.slot(number), self.batches.shards[number]
        row = self.terms_at(number) if self.terms.names else None
        if self.pieces is not None:
            self.pieces.gradients(x, y, weights, slot, row)
            return
        share = 1.0 if self.ranks.alone else self.batches.own_shares[number]
        self._pass(x, y, weights, slot, row, shard, share)
        if not self.ranks.alone:
            self.ranks.sum_gradients(slot, share, row)

    def _pass(
        self, x: Array, y: Array, weights: Array | None, slot: Array, row: Array | None, shard: Shard,
        share: float = 1.0,
    ) -> None:  # fmt: skip
        """Write the loss of some rows into `slot`, its terms into `row`, and `share` times all gradients."""
        dy = self._dy[x.shape[0]]
        terms = None if row is None else Terms(weights, share)
        y_pred = self.plan.forward(x, shard=shard, draw=0, terms=terms)
        self.loss.evaluate(self.backend, y, y_pred, slot, dy, weights, self.kind)
        if row is not None:
            self.terms.add(self.plan, slot, row)
        if share != 1.0:
            dy *= share  # the gradient of the mean over all ranks' rows, not only over these
        self.plan.backward(dy)

    def slot(self, number: int) -> Array:
        """Return where the loss of a batch is computed."""
        return self._slots[number]

    def terms_at(self, number: int) -> Array:
        """Return where the terms of a batch are written."""
        return self.terms.values[number]

    def explain(self, run: Run, order: Any, number: int) -> None:
        """Run a batch again with the parameters from before it; raise an error that names the first fault."""
        self.arena.fault[...] = 0
        if self.pieces is not None:
            self.pieces.searching = True
        self.gradients(*self.feeder.batch(number, order), number)
        where = self.ranks.earliest(nonfinite.first(self.network, self.plan))
        raise TrainingError(
            f"epoch {run.epoch + 1}, batch {number + 1}: the loss is {float(self.losses[number]):g} and "
            f"{where} is not finite; the parameters are those from before this batch: lower the learning "
            "rate, or clip the gradients (clip_norm=1)"
        )

    def close(self) -> None:
        """Stop reading ahead."""
        self.feeder.close()
