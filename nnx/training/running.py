"""A run of training: its epochs, its validation, its callbacks, the agreement of its ranks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from nnx.callbacks import Callback, History, Run
from nnx.distributed.agreement import fingerprint
from nnx.metrics import Metric
from nnx.samples import Samples
from nnx.training.evaluation import measure
from nnx.training.loop import Loop


def run_epochs(
    loop: Loop,
    run: Run,
    callbacks: Sequence[Callback],
    held_out: Samples | None,
    metrics: list[tuple[str, Metric]],
) -> History:
    """Train as many epochs as are asked for, or until a callback says to stop; tell the callbacks."""
    history = run.history
    on_step = [c for c in callbacks if type(c).on_step_end is not Callback.on_step_end]
    told = [c for c in callbacks if getattr(c.on_epoch_end, "__func__", None) is not Callback.on_epoch_end]
    began = time.perf_counter()
    with ExitStack() as ending:
        ending.callback(lambda: setattr(history, "seconds", time.perf_counter() - began))
        for callback in callbacks:
            callback.on_train_begin(run)
            ending.callback(callback.on_train_end, run)
        ending.enter_context(_outcome(run))
        if loop.communicator.size > 1:
            _follow_the_first(loop, run)
        ending.enter_context(loop.backend.hold())
        ending.enter_context(loop.backend.quiet())
        while run.epoch < run.epochs and not run.stop:
            epoch_began = time.perf_counter()
            unobserved = min((c.told_every - run.epoch % c.told_every for c in told), default=run.epochs)
            most = min(unobserved, run.epochs - run.epoch) if held_out is None else 1
            loop.epochs(run, on_step, most)
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
                values = fingerprint(loop.backend.to_numpy(loop.arena.values))
                loop.communicator.agree({f"the parameters after epoch {run.epoch}": values})
    return history


def _follow_the_first(loop: Loop, run: Run) -> None:
    """Begin on every rank where the first does: a callback of its own may have read a checkpoint.

    So a checkpoint is one file of one rank, whatever number of ranks wrote it and goes on from it.
    """
    communicator, arena, history = loop.communicator, loop.arena, run.history
    counts = [arena.step, loop.kept.step, run.step, run.epoch, run.stop, history.epochs, history.metrics]
    told = communicator.gather(json.dumps(counts) if communicator.rank == 0 else "", "the start")[0]
    (
        arena.step, loop.kept.step, run.step, run.epoch, run.stop, history.epochs, history.metrics
    ) = json.loads(told)  # fmt: skip
    with loop.backend.hold():
        for buffer in (arena.values, arena.state, *loop.kept.slots.values()):
            if communicator.rank:
                buffer[...] = 0.0
            communicator.sum(buffer, "the start")


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
