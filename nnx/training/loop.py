"""`fit`: one training run, from its options to its history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from nnx.backends import threads
from nnx.errors import TrainingError
from nnx.optimizers import LBFGS
from nnx.training import facts, nonfinite
from nnx.training.checkpoints import settings
from nnx.training.checks import check_data, check_options
from nnx.training.device_steps import DeviceTrainer
from nnx.training.evaluation import Validation
from nnx.training.lbfgs import LbfgsTrainer
from nnx.training.options import FitOptions
from nnx.training.pause import Pause
from nnx.training.ranks import Ranks
from nnx.training.run import History, Run
from nnx.training.signals import Interrupts
from nnx.training.small import SmallTrainer
from nnx.training.step import StepTrainer


def fit(network: Any, x: Any, y: Any, options: FitOptions) -> History:
    """Train a network; `Network.fit` describes the options."""
    options = check_options(options)
    samples, validation = check_data(network, x, y, options)
    known = facts.agreed(network, options, samples, validation)
    interrupts = Interrupts(wanted=options.checkpoint is not None)
    ranks = Ranks(options.communicator, network.arena, interrupts)
    kind = StepTrainer if network.backend.synchronous else DeviceTrainer
    kind = LbfgsTrainer if isinstance(options.optimizer, LBFGS) else kind
    trainer = SmallTrainer(kind(network, samples, options, ranks))
    run = _run(network, options, trainer, validation)
    run.facts = known
    pause = Pause(run, options.checkpoint_here, ranks, interrupts, each_epoch=validation is not None)
    with _under_way(run, trainer, pause):
        while not run.over:
            began = time.perf_counter()
            try:
                trainer.train(run, pause)
            except TrainingError as error:
                if run.on_nonfinite != "rollback" or run.history.rollbacks == nonfinite.ROLLBACKS:
                    raise
                _roll_back(run, trainer, pause, str(error))
                continue
            run.history.training_seconds += time.perf_counter() - began
            with run.average.shown() if run.average else nullcontext():
                if validation:
                    validation.record(run, options.communicator)
                for callback in run.callbacks:
                    callback.on_epoch_end(run)
            ranks.end_epoch(run)
            pause.look()
        if run.average:
            run.average.finish()
    return run.history


def _run(network: Any, options: FitOptions, trainer: SmallTrainer, validation: Validation | None) -> Run:
    """Return the run as callbacks see it, before its first step."""
    run = Run(network, options.optimizer, History(), options.epochs, trainer.steps.steps_of_an_epoch)
    run.loss, run.losses, run.on_nonfinite = options.loss, trainer.steps.losses, options.on_nonfinite
    run.average = trainer.steps.average
    run.terms, names = trainer.steps.terms.values, trainer.steps.terms.names
    run.directions = dict.fromkeys(("loss", *names), "min")
    if validation:
        run.directions |= validation.directions() | dict.fromkeys((f"val_{name}" for name in names), "min")
    run.callbacks = options.callbacks_here
    return run


@contextmanager
def _under_way(run: Run, trainer: SmallTrainer, pause: Pause) -> Iterator[None]:
    """Start callbacks, signals and ranks for a run, and end them however the run ends."""
    began = time.perf_counter()
    backend = run.network.backend
    with ExitStack() as ending:
        ending.callback(lambda: setattr(run.history, "seconds", time.perf_counter() - began))
        whole = run.network._parent or run.network  # a slice trains the values of its network
        whole.in_fit = True
        ending.callback(setattr, whole, "in_fit", False)
        ending.callback(trainer.close)
        ending.enter_context(threads.within_quota())
        ending.enter_context(pause.interrupts)
        ending.callback(pause.ranks.end, run)
        for callback in run.callbacks:
            if callback is pause.checkpoint:  # the last one, so it stores what the others set at their start
                run.begun = settings.begun(run)
            callback.on_train_begin(run)
            ending.callback(callback.on_train_end, run)
        run.begun = run.begun or settings.begun(run)
        ending.enter_context(_outcome(run))
        pause.ranks.begin(run)
        ending.enter_context(backend.hold())
        ending.enter_context(backend.quiet())
        yield


@contextmanager
def _outcome(run: Run) -> Iterator[None]:
    """Note how the run ended, for the callbacks' `on_train_end`."""
    try:
        yield
    except BaseException:
        run.failed = True
        raise
    finally:
        run.history.steps = run.step


def _roll_back(run: Run, trainer: SmallTrainer, pause: Pause, why: str) -> None:
    """Return to the newest checkpoint and halve the learning rate."""
    times = run.history.rollbacks + 1
    if pause.checkpoint is not None:
        pause.checkpoint.load_newest(run)
    pause.ranks.begin(run)
    kept = trainer.steps.kept
    kept.scale *= 0.5 ** (times - run.history.rollbacks)  # a callback may have lowered the rate too
    run.history.rollbacks = times
    nonfinite.logger.warning(
        "%s; training returned to step %d, with the learning rate times %g (%d of at most %d times)",
        why.partition(" is not finite")[0] + " is not finite", run.step, kept.scale, times,
        nonfinite.ROLLBACKS,
    )  # fmt: skip
