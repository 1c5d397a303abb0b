"""Checkpoints at regular times, and going on from the newest."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nnx import model_files
from nnx.distributed.agreement import version
from nnx.errors import (
    ConfigurationError,
    FileFormatError,
    NnxError,
    OutOfMemoryError,
    OutputError,
    flag,
    plain,
    whole,
)
from nnx.metrics.choice import check_mode, sign
from nnx.training.callbacks import Callback, Run
from nnx.training.checkpoints import identity, state
from nnx.training.checkpoints.store import Store, logger

EVERY = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
DATA = "the "  # how the names of the data's fingerprints begin
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Checkpoint(Callback):
    """Keep the whole state of a training run in a folder, and go on from it.

    A run that is stopped at any moment, by a signal, a fault or the machine, and goes on with
    ``resume=True``, ends with the bytes of one that was never stopped: parameters, history, metrics. A
    checkpoint is a safetensors file with a checksum, which appears whole or not at all; `nnx.load` reads the
    network in it.

    While `fit` runs, an interrupt (Ctrl-C) or SIGTERM waits for the end of the step, and for a checkpoint of
    it; a second one does not wait.

    Parameters
    ----------
    folder : path
        Of its own; it is locked while training runs. Several fits one after the other, with the same object,
        are kept apart by their number.
    every : int or str
        Optimizer steps (``500``, ``"500"``) or time (``"30s"``, ``"5m"``, ``"1h"``) between checkpoints.
        There is one of the beginning and one of the end too. A small network that is trained in one compiled
        loop is looked at between epochs.
    wait : str, optional
        A time such as ``"1m"``: training that ends or is interrupted sooner writes nothing, so there is no
        checkpoint of the beginning either. Where one cannot be written later, a warning says so once, and
        training continues. ``fit(on_nonfinite="rollback")`` needs a `Checkpoint` without it.
    keep : int
        How many of the newest stay, besides the best.
    best : str or None
        A name in the history: of the checkpoints taken, the one where it was best stays. ``"auto"`` takes
        ``val_loss`` where there is validation, else ``loss``.
    mode : {"auto", "min", "max"}
        Whether the smallest or the largest value is the best, as for `EarlyStopping`.
    resume : bool
        Go on from the newest checkpoint that is intact; begin where there is none.
    about : dict, optional
        What else a run that goes on must have in common, by name.

    Raises
    ------
    ConfigurationError
        If an option makes no sense, or a run that goes on differs from what its checkpoint was taken of.
    FileFormatError
        If there are checkpoints, but none is intact.
    OutputError
        If a checkpoint cannot be written (without `wait`), another run has the folder, or there are
        checkpoints in it that ``resume=True`` does not ask for.
    """

    every_rank = False
    named: Callable[[str], str] = staticmethod(str)  # how a message names an entry of `about`
    usual: Mapping[str, Any] = MappingProxyType({})  # the default of each entry of `about` that has one

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int | str = "30s",
        *,
        keep: int = 3,
        best: str | None = "auto",
        mode: str = "auto",
        resume: bool = False,
        about: dict[str, Any] | None = None,
        wait: str | None = None,
    ) -> None:
        found = EVERY.fullmatch(str(every).strip())
        if found is None or float(found[1]) <= 0 or (found[2] is None and "." in found[1]):
            raise ConfigurationError(
                f"Checkpoint: every must be a number of steps or a time such as '30s', not {every!r}"
            )
        self.steps = int(found[1]) if found[2] is None else 0
        self.seconds = float(found[1]) * SECONDS[found[2]] if found[2] else math.inf
        waited = None if wait is None else EVERY.fullmatch(wait.strip())
        if wait is not None and (waited is None or waited[2] is None):
            raise ConfigurationError(f"Checkpoint: wait must be a time such as '1m', not {wait!r}")
        self.wait = float(waited[1]) * SECONDS[waited[2]] if waited else 0.0
        check_mode("Checkpoint", mode)
        self.best, self.mode, self.resume = best, mode, flag("Checkpoint: resume", resume)
        self.about = plain("Checkpoint: about", about or {})
        self.store = Store(Path(folder), whole("Checkpoint: keep", keep))
        self.fit = 0
        self.newest: Path | None = None
        self._best: dict[str, Any] = {"value": math.inf, "name": ""}
        self._ending = ExitStack()
        self._held = False
        self._began = math.inf  # when the first of its fits began

    # ------------------------------------------------------------------ a run

    def on_train_begin(self, run: Run) -> None:
        """Take the folder; go on from its newest checkpoint, or keep the beginning."""
        self.fit += 1
        self._best = {"value": math.inf, "name": ""}
        named = self.best not in (None, "auto")
        self._sign = sign("Checkpoint", str(self.best), self.mode, run.directions) if named else 1.0
        self.newest, self._taken = None, (-1, -1)
        if run.network.span != (0, len(run.network.arena)):
            raise ConfigurationError(
                "a slice has no checkpoints: fit the whole network, with trainable=False on its other layers"
            )
        self._began = min(self._began, time.monotonic())
        with ExitStack() as ending:
            self._ending = ending
            if not self.wait or self.store.folder.exists():
                self._hold()
            self._begin(run)
            self._ending = ending.pop_all()

    def _hold(self) -> None:
        if not self._held:
            self._ending.enter_context(self.store.held())
            self._ending.callback(setattr, self, "_held", False)
            self._held = True

    def _begin(self, run: Run) -> None:
        self._callbacks = [name for name, _ in state.stateful(run)]
        there = self.store.found()
        if there and not self.resume and self.fit == 1:
            raise OutputError(
                f"{self.store.folder} holds checkpoints: resume from them, or choose another folder"
            )
        self._clock = time.monotonic()
        if not self.go_on(run):
            if self.wait:
                state.of_callbacks(run)  # what no checkpoint can hold is refused now, not after the wait
            else:
                self.take(run)

    def on_train_end(self, run: Run) -> None:
        """Give the folder back."""
        self._ending.close()

    def steps_left(self, run: Run) -> int:
        """How many steps may be taken before `at_rest` should look again."""
        return self.steps - run.step % self.steps if self.steps else 2**62

    def at_rest(self, run: Run) -> None:
        """Between two steps, after all other callbacks: take a checkpoint if it is time."""
        if time.monotonic() - self._began < self.wait:
            return
        due = self.steps and run.step // self.steps > self._taken[0] // self.steps
        late = time.monotonic() - self._clock >= self.seconds
        if due or late or run.interrupt or (run.over and not run.batch):
            self._try(run)

    def _try(self, run: Run) -> None:
        """Take a checkpoint; one that has waited is an extra, and does not end the run if it fails."""
        try:
            self.take(run)
        except (OutputError, OutOfMemoryError) as error:
            if not self.wait:
                raise
            self._taken, self._clock = (run.step, run.epoch), time.monotonic()  # not again at the next step
            if "unwritten" not in run.warned:
                run.warned.add("unwritten")
                logger.warning(
                    "no checkpoint of step %d (%s): training continues, but a run that is stopped now can "
                    "be resumed only from an earlier checkpoint, if there is one", run.step, error,
                )  # fmt: skip

    # ---------------------------------------------------------- write and read

    def take(self, run: Run) -> None:
        """Write a checkpoint, unless there is one of this very state."""
        arena = run.network.arena
        if self._taken == (run.step, run.epoch) or int(arena.backend.to_numpy(arena.fault)[0]):
            return  # a fault that is seen at the epoch's end only: what came before it is kept
        self._hold()
        path = self.store.path(self.fit, run.step)
        self._follow_best(run, path.name)
        weights, arrays, counts = state.capture(run)
        counts |= {"facts": self._facts(run), "versions": _versions(run)}
        counts |= {"options": self.about, "epochs": run.epochs}  # to name what a resumed run changes
        model_files.write(path, weights, run.network.config(), {"checkpoint": True}, (arrays, counts))
        self.newest, self._taken, self._clock = path, (run.step, run.epoch), time.monotonic()
        self.store.prune(self.fit, self._best["name"])

    def go_on(self, run: Run) -> bool:
        """Put a run into the state of the newest checkpoint that is intact; whether there is one."""
        found = self.store.newest(self.fit)
        if found is None:
            return False
        path, (weights, arrays, counts) = found
        try:
            self._compare(run, path, counts)
            state.restore(run, weights, arrays, counts)
        except NnxError as error:
            raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FileFormatError(
                f"{path}: what it says of the training is damaged ({error!r:.100})"
            ) from error
        logger.info("going on from %s, after %d steps", path, run.step)
        self.newest, self._taken = path, (run.step, run.epoch)
        return True

    def remove(self) -> None:
        """Remove the checkpoints, and their folder if nothing else is in it: the run has finished."""
        self.store.remove()

    def state(self) -> dict[str, Any]:
        """Which checkpoint is the best."""
        return dict(self._best)

    def restore(self, state: dict[str, Any]) -> None:
        """Know it again."""
        self._best = dict(state)

    def _facts(self, run: Run) -> dict[str, Any]:
        facts = run.facts() | {"callbacks": self._callbacks}
        about = {f"about {name}" if name in facts else name: value for name, value in self.about.items()}
        return about | facts

    def _compare(self, run: Run, path: Path, counts: dict[str, Any]) -> None:
        versions = _versions(run)
        if counts["versions"] != versions:
            logger.warning(
                "%s was written with %s, this is %s: the last digits may differ from one run's",
                path, counts["versions"], versions,
            )  # fmt: skip
        self._compare_options(path, counts.get("options", {}), json.loads(json.dumps(self.about)))
        then, now = counts["facts"], json.loads(json.dumps(self._facts(run)))
        for name in ("loss", "optimizer"):
            if isinstance(then.get(name), str):  # of version 0.1
                now[name] = identity.as_in_0_1(now[name])
        usual = json.loads(json.dumps(dict(self.usual)))  # of options newer than the checkpoint
        then = {n: usual[n] for n in self.about if n in usual and f"about {n}" not in now} | then
        older = {name for name in now if name.startswith("about ") and name not in then}  # 0.1 left these out
        differ = [n for n in dict.fromkeys((*then, *now)) if then.get(n) != now.get(n) and n not in older]
        if differ == ["optimizer"] and (epochs := counts.get("epochs", run.epochs)) != run.epochs:
            raise ConfigurationError(
                f"{path} was taken of a run of {epochs} epochs, and its learning rate follows their number: "
                f"resume with {self.named('epochs')} {epochs}, or begin in another folder"
            )
        # the plainest first: a number or a name, then data, then lists of layers and callbacks
        rank = {name: 1 if name.startswith(DATA) else 2 * isinstance(then.get(name), list) for name in differ}
        for name in sorted(differ, key=rank.__getitem__):
            what = identity.difference(name, then.get(name), now.get(name))
            if name.startswith(DATA):  # their fingerprints tell a reader nothing
                what = f"other {name.removeprefix(DATA)}"
            raise ConfigurationError(
                f"{path} was taken with {what}: resume with the same, or begin in another folder"
            )

    def _compare_options(self, path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
        """Name the option that differs; a checkpoint of an older version has no options apart."""
        for name, old in then.items():
            if name in now and now[name] != old:
                was, is_ = (_given(self.named(name), value) for value in (old, now[name]))
                raise ConfigurationError(
                    f"{path} was taken of a run {was}, and this one is {is_}: "
                    "resume with the same, or begin in another folder"
                )

    def _follow_best(self, run: Run, name: str) -> None:
        metrics = run.history.metrics
        if self.best is None or not metrics:
            return
        monitor = self.best
        if monitor == "auto":
            monitor = "val_loss" if "val_loss" in metrics else "loss"
        value = self._sign * run.history[monitor][-1]
        if value < self._best["value"]:
            self._best = {"value": value, "name": name}


def _given(option: str, value: Any) -> str:
    if value is None or value is False:
        return f"without {option}"
    if value is True:
        return f"with {option}"
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return f"with {option} {shlex.quote(value) if isinstance(value, str) else identity.short(value)}"


def _versions(run: Run) -> dict[str, str]:
    """What computed, for a reader."""
    return {
        "nnx": version("nnx-arrays"), "numpy": np.__version__, "backend": run.network.arena.backend.name
    }  # fmt: skip
