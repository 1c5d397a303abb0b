"""What the ranks of a job exchange while they train; one process exchanges nothing."""

from __future__ import annotations

import json

import numpy as np

from nnx.backends import Array
from nnx.data.rows import HostArray
from nnx.distributed import Communicator, Shard
from nnx.distributed.agreement import fingerprint
from nnx.parameters import Arena
from nnx.training.callbacks import Run
from nnx.training.checkpoints import state
from nnx.training.signals import Interrupts


class Ranks:
    """The ranks of a job, as one of them sees them in `fit`.

    Gradients, losses and signals travel in one exchange a step.

    Parameters
    ----------
    communicator : Communicator
    arena : Arena
    interrupts : Interrupts
        The signals that wait in this process.
    """

    def __init__(self, communicator: Communicator, arena: Arena, interrupts: Interrupts) -> None:
        self.communicator, self.arena, self.interrupts = communicator, arena, interrupts
        self.alone = communicator.size == 1
        self.interrupted = False  # whether a rank said in the last exchange that a signal waits

    # ------------------------------------------------------------------ a step

    def shared(self, shard: Shard) -> Shard | None:
        """Return the shard, for layers that need sums over the batch of all ranks; None on one process."""
        return None if self.alone else shard

    def weigh(self, dy: Array, share: float) -> None:
        """Turn dy of the mean over this rank's rows into its part of the mean over all."""
        if not self.alone:
            dy *= share

    def sum_gradients(self, slot: Array, share: float) -> None:
        """Sum the gradients and the loss of the step over the ranks, in place."""
        if self.alone:
            return
        arena = self.arena
        extra = arena.exchange[arena.gradients.size :]
        extra[0:1] = slot * share
        extra[1:2] = float(self.interrupts.number > 0)
        self.communicator.sum(arena.exchange, f"the gradients of step {arena.step + 1}")
        slot[...] = extra[0:1]
        self.interrupted = arena.backend.synchronous and bool(extra[1])

    def earliest(self, found: str) -> str:
        """Return the first of the ranks' findings: others may see its gradients only."""
        return min(self.communicator.gather(found)).partition(" ")[2]

    def interrupt(self, run: Run) -> int:
        """Return the signal that ends training after this step on all ranks; 0 for none."""
        if self.alone:
            return self.interrupts.number
        unseen = not self.arena.backend.synchronous and not run.batch  # a GPU is asked once an epoch
        if not (self.interrupted or unseen):
            return 0
        return max(map(int, self.communicator.gather(str(self.interrupts.number), "the end of a step")))

    # ------------------------------------------------------------------- a run

    def begin(self, run: Run) -> None:
        """Put every rank into the state of the first, which may have read a checkpoint.

        So a checkpoint is one file of one rank, and any number of ranks can resume it.
        """
        if self.alone:
            return
        first = self.communicator.rank == 0
        weights, training, counts = state.capture(run)
        own = {
            (place, name): array
            for place, arrays in enumerate((weights, training))
            for name, array in arrays.items()
        }
        shapes = [(*key, array.shape, array.dtype.str) for key, array in own.items()]
        its_own = counts["callbacks"]
        told = self.communicator.broadcast(json.dumps([shapes, counts]) if first else "", "the start")
        shapes, counts = json.loads(told)
        found: tuple[dict[str, HostArray], dict[str, HostArray]] = ({}, {})
        for place, name, shape, dtype in shapes:
            array = np.ascontiguousarray(own[place, name]) if first else np.zeros(shape, dtype)
            found[place][name] = self.communicator.broadcast(array, "the start")
        for name in its_own.keys() - counts["callbacks"].keys():  # of which the first knows nothing
            counts["callbacks"][name] = its_own[name]
            found[1].update({key: array for key, array in training.items() if key.startswith(f"{name}.")})
        if not first:
            state.restore(run, *found, counts)

    def end_epoch(self, run: Run) -> None:
        """Stop on every rank where a callback of one says so, and compare the parameters."""
        if self.alone:
            return
        run.stop = next(filter(None, self.communicator.gather(run.stop, f"the end of epoch {run.epoch}")), "")
        self._compare(f"epoch {run.epoch}")

    def end(self, run: Run) -> None:
        """Compare the parameters: a callback of some ranks may have put others back."""
        if not run.failed:
            self._compare("the callbacks' last turn")

    def _compare(self, what: str) -> None:
        arena = self.arena
        self.communicator.agree(
            lambda: {f"the parameters after {what}": fingerprint(arena.backend.to_numpy(arena.values))}
        )
