"""A run of training: its epochs, its validation, its callbacks, the agreement of its ranks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from nnx.backends import threads
from nnx.data.rows import HostArray
from nnx.data.samples import Samples
from nnx.distributed.agreement import fingerprint
from nnx.errors import TrainingError
from nnx.metrics import Metric
from nnx.training import nonfinite
from nnx.training.callbacks import Callback, History, Run
from nnx.training.checkpoints import Checkpoint, settings, state
from nnx.training.evaluation import measure
from nnx.training.loop import Loop
from nnx.training.signals import Interrupts


def run_epochs(
    loop: Loop,
    run: Run,
    checkpoint: Checkpoint | None,
    interrupts: Interrupts,
    held_out: Samples | None,
    metrics: list[tuple[str, Metric]],
) -> History:
    """Train as many epochs as are asked for, or until a callback says to stop; tell the callbacks."""
    history, callbacks = run.history, run.callbacks
    on_step = [c for c in callbacks if type(c).on_step_end is not Callback.on_step_end]
    told = [c for c in callbacks if getattr(c.on_epoch_end, "__func__", None) is not Callback.on_epoch_end]
    at_rest = _Rest(loop, run, checkpoint, interrupts) if interrupts.wanted else None
    began = time.perf_counter()
    with ExitStack() as ending:
        ending.callback(lambda: setattr(history, "seconds", time.perf_counter() - began))
        ending.callback(loop.close)
        ending.enter_context(threads.within_quota())
        ending.enter_context(interrupts)
        if loop.communicator.size > 1:
            ending.callback(_agree_at_the_end, loop, run)
        for callback in callbacks:
            if callback is checkpoint:  # the last
                run.begun = settings.begun(run)
            callback.on_train_begin(run)
            ending.callback(callback.on_train_end, run)
        run.begun = run.begun or settings.begun(run)
        ending.enter_context(_outcome(run))
        if loop.communicator.size > 1:
            _follow_the_first(loop, run)
        ending.enter_context(loop.backend.hold())
        ending.enter_context(loop.backend.quiet())
        while not run.over:
            epoch_began = time.perf_counter()
            unobserved = min((c.told_every - run.epoch % c.told_every for c in told), default=run.epochs)
            if checkpoint is not None:
                unobserved = min(unobserved, -(-checkpoint.steps_left(run) // run.batches))
            most = min(unobserved, run.epochs - run.epoch) if held_out is None else 1
            try:
                loop.epochs(run, on_step, at_rest, most)
            except TrainingError as error:
                if run.on_nonfinite != "rollback" or history.rollbacks == nonfinite.ROLLBACKS:
                    raise
                _roll_back(loop, run, checkpoint, error)
                continue
            history.training_seconds += time.perf_counter() - epoch_began
            if held_out is not None:
                results = measure(loop.network, held_out, loop.loss, metrics, loop.communicator)
                for name, result in results.items():
                    history.metrics.setdefault(f"val_{name}", []).append(result)
            for callback in callbacks:
                callback.on_epoch_end(run)
            if loop.communicator.size > 1:
                run.stop = next(
                    filter(None, loop.communicator.gather(run.stop, f"the end of epoch {run.epoch}")), ""
                )
                _agree(loop, f"epoch {run.epoch}")
            if at_rest is not None:
                at_rest()
    return history


def _roll_back(loop: Loop, run: Run, checkpoint: Checkpoint | None, error: TrainingError) -> None:
    """Go back to the newest checkpoint, and on from it by half the learning rate."""
    times = run.history.rollbacks + 1
    if checkpoint is not None:
        checkpoint.go_on(run)
    if loop.communicator.size > 1:
        _follow_the_first(loop, run)
    run.history.rollbacks, loop.kept.scale = times, 0.5**times
    nonfinite.logger.warning(
        "%s; back to step %d, on with the learning rate times %g (%d of at most %d times)",
        str(error).partition(" is not finite")[0] + " is not finite", run.step, loop.kept.scale, times,
        nonfinite.ROLLBACKS,
    )  # fmt: skip


class _Rest:
    """What happens between two steps: a checkpoint, if it is time, and the end, if a signal asks for it.

    Ranks agree on the step: each tells the others in every exchange whether a signal waits.
    """

    def __init__(self, loop: Loop, run: Run, checkpoint: Checkpoint | None, interrupts: Interrupts) -> None:
        self.loop, self.run, self.checkpoint, self.interrupts = loop, run, checkpoint, interrupts
        loop.interrupts = interrupts

    def __call__(self) -> None:
        run, communicator = self.run, self.loop.communicator
        run.interrupt = self.interrupts.number
        if communicator.size > 1:
            run.interrupt = 0
            unseen = not self.loop.backend.synchronous and not run.batch  # a GPU is asked once an epoch
            if self.loop.interrupted or unseen:
                waiting = communicator.gather(str(self.interrupts.number), "the end of a step")
                run.interrupt = max(map(int, waiting))
        if self.checkpoint is not None:
            self.checkpoint.at_rest(run)
        if run.interrupt:
            communicator.gather("", "the last checkpoint")  # before it is whole nobody ends the job
            self.interrupts.deliver(run.interrupt)
            run.interrupt = 0


def _follow_the_first(loop: Loop, run: Run) -> None:
    """Begin on every rank where the first does: a callback of its own may have read a checkpoint.

    So a checkpoint is one file of one rank, whatever number of ranks wrote it and goes on from it.
    """
    communicator = loop.communicator
    weights, training, counts = state.capture(run)
    own = {
        (place, name): array
        for place, arrays in enumerate((weights, training))
        for name, array in arrays.items()
    }
    shapes = [(*key, array.shape, array.dtype.str) for key, array in own.items()]
    its_own = counts["callbacks"]
    told = communicator.gather(json.dumps([shapes, counts]) if communicator.rank == 0 else "", "the start")[0]
    shapes, counts = json.loads(told)
    found: tuple[dict[str, HostArray], dict[str, HostArray]] = ({}, {})
    for place, name, shape, dtype in shapes:
        array = np.ascontiguousarray(own[place, name]) if communicator.rank == 0 else np.zeros(shape, dtype)
        communicator.sum(array.reshape(-1).view(np.uint8), "the start")  # as bytes: a sum would lose −0
        found[place][name] = array
    for name in its_own.keys() - counts["callbacks"].keys():  # of which the first knows nothing
        counts["callbacks"][name] = its_own[name]
        found[1].update({key: array for key, array in training.items() if key.startswith(f"{name}.")})
    if communicator.rank:
        state.restore(run, *found, counts)


def _agree(loop: Loop, what: str) -> None:
    values = fingerprint(loop.backend.to_numpy(loop.arena.values))
    loop.communicator.agree({f"the parameters after {what}": values})


def _agree_at_the_end(loop: Loop, run: Run) -> None:
    """A callback of some ranks may have put other parameters back, as `EarlyStopping` does the best."""
    if not run.failed:
        _agree(loop, "the callbacks' last turn")


@contextmanager
def _outcome(run: Run) -> Iterator[None]:
    """Tell callbacks, which are told of the end in any case, how it came."""
    try:
        yield
    except BaseException:
        run.failed = True
        raise
    finally:
        run.history.steps = run.step
