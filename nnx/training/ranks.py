"""Exchange gradients, losses and signals between the ranks of a job; one process exchanges nothing."""

from __future__ import annotations

import json

import numpy as np

from nnx.backends import Array
from nnx.data.rows import HostArray
from nnx.distributed import Communicator
from nnx.distributed.agreement import fingerprint
from nnx.parameters import Arena
from nnx.training.checkpoints import state
from nnx.training.run import Run
from nnx.training.signals import Interrupts


class Ranks:
    """The ranks of a job during `fit`, as one rank sees them.

    Each step has one exchange, which carries gradients, losses and signals.

    Parameters
    ----------
    communicator : Communicator
    arena : Arena
    interrupts : Interrupts
        The signals that this process has received.
    """

    def __init__(self, communicator: Communicator, arena: Arena, interrupts: Interrupts) -> None:
        self.communicator, self.arena, self.interrupts = communicator, arena, interrupts
        self.alone = communicator.size == 1
        self.interrupted = False  # whether a rank reported a signal in the last exchange

    # ------------------------------------------------------------------ a step

    def sum_gradients(self, slot: Array, share: float, terms: Array | None = None) -> None:
        """Sum the gradients, the loss and its terms over the ranks; `share` is this rank's part of them."""
        arena = self.arena
        extra = arena.exchange[arena.gradients.size :]
        extra[0:1] = slot * share
        extra[1:2] = float(self.interrupts.number > 0)
        if terms is not None:
            extra[2 : 2 + terms.size] = terms * share
        for used in arena.sparse.values():
            used.mark()
        self.communicator.sum(arena.exchange, f"the gradients of step {arena.step + 1}")
        for used in arena.sparse.values():
            used.unite()
        slot[...] = extra[0:1]
        if terms is not None:
            terms[...] = extra[2 : 2 + terms.size]
        self.interrupted = arena.backend.synchronous and bool(extra[1])

    def earliest(self, found: str) -> str:
        """Return the first of the faults that the ranks found; another rank may see only its effect."""
        return min(self.communicator.gather(found)).partition(" ")[2]

    def interrupt(self, run: Run) -> int:
        """Return the signal that ends training after this step on all ranks; 0 for none."""
        if self.alone:
            return self.interrupts.number
        unseen = not self.arena.backend.synchronous and not run.batch  # a GPU is read once an epoch
        if not (self.interrupted or unseen):
            return 0
        return max(map(int, self.communicator.gather(str(self.interrupts.number), "the end of a step")))

    # ------------------------------------------------------------------- a run

    def begin(self, run: Run) -> None:
        """Give every rank the state of rank 0, which may have read a checkpoint.

        So only one rank reads and writes checkpoints, and any number of ranks can resume from one.
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
        own_callbacks = counts["callbacks"]
        text = self.communicator.broadcast(json.dumps([shapes, counts]) if first else "", "the start")
        shapes, counts = json.loads(text)
        found: tuple[dict[str, HostArray], dict[str, HostArray]] = ({}, {})
        for place, name, shape, dtype in shapes:
            array = np.ascontiguousarray(own[place, name]) if first else np.zeros(shape, dtype)
            found[place][name] = self.communicator.broadcast(array, "the start")
        for name in own_callbacks.keys() - counts["callbacks"].keys():  # callbacks that rank 0 does not have
            counts["callbacks"][name] = own_callbacks[name]
            found[1].update({key: array for key, array in training.items() if key.startswith(f"{name}.")})
        if not first:
            state.restore(run, *found, counts)

    def end_epoch(self, run: Run) -> None:
        """Stop every rank if a callback of one rank asks for it, and compare the ranks' parameters."""
        if self.alone:
            return
        run.stop = next(filter(None, self.communicator.gather(run.stop, f"the end of epoch {run.epoch}")), "")
        self._compare(f"epoch {run.epoch}")

    def end(self, run: Run) -> None:
        """Compare the parameters again: the callbacks of some ranks may have restored other ones."""
        if not run.failed:
            self._compare("on_train_end of the callbacks")

    def _compare(self, what: str) -> None:
        arena = self.arena
        self.communicator.agree(
            lambda: {f"the parameters after {what}": fingerprint(arena.backend.to_numpy(arena.values))}
        )
