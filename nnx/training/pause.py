"""Do what is due between two steps: call callbacks, write a checkpoint, stop for a signal."""

from __future__ import annotations

import time

from nnx.training.checkpoints import Checkpoint
from nnx.training.contention import Contention
from nnx.training.ranks import Ranks
from nnx.training.run import Callback, Run, overrides
from nnx.training.signals import Interrupts


class Pause:
    """The work between two steps.

    Parameters
    ----------
    run : Run
    checkpoint : Checkpoint or None
        The checkpoint, on the rank that writes it.
    ranks : Ranks
    interrupts : Interrupts
    each_epoch : bool
        Whether something else needs the pause after every epoch: the validation.

    Attributes
    ----------
    on_step : list of Callback
        The callbacks to call after every step.
    """

    def __init__(
        self, run: Run, checkpoint: Checkpoint | None, ranks: Ranks, interrupts: Interrupts, each_epoch: bool
    ) -> None:
        self.run, self.checkpoint, self.ranks, self.interrupts = run, checkpoint, ranks, interrupts
        self.each_epoch = each_epoch
        self.contention = Contention(run.network.backend)
        self.on_step: list[Callback] = [c for c in run.callbacks if overrides(c, "on_step_end")]

    def after_step(self) -> None:
        """Call the callbacks, and do what is due."""
        run = self.run
        for callback in self.on_step:
            callback.on_step_end(run)
        if time.monotonic() >= self.contention.due:
            self.contention.look()
        run.batch += 1
        if self.interrupts.wanted and run.batch < run.batches:  # after the last: once the epoch is recorded
            self.look()

    def look(self) -> None:
        """Write a checkpoint if one is due, and stop if a signal arrived."""
        if not self.interrupts.wanted:
            return
        run = self.run
        run.interrupt = self.ranks.interrupt(run)
        if self.checkpoint is not None:
            self.checkpoint.between_steps(run)
        if run.interrupt:
            self.ranks.communicator.barrier("the last checkpoint")  # a rank that ends would end the job
            self.interrupts.deliver(run.interrupt)
            run.interrupt = 0

    def epochs_left(self) -> int:
        """Return how many epochs can be trained before a callback or the checkpoint must be called."""
        run = self.run
        if self.each_epoch:
            return 1
        every = [  # told_every: the name in version 0.1
            getattr(c, "told_every", c.every_n_epochs) for c in run.callbacks if overrides(c, "on_epoch_end")
        ]
        epochs = min((n - run.epoch % n for n in every), default=run.epochs)
        if self.checkpoint is not None:
            epochs = min(epochs, -(-self.checkpoint.steps_left(run) // run.batches))
        return min(epochs, run.epochs - run.epoch)
