"""Write checkpoints during training, and resume from the newest one."""

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
from nnx.training.checkpoints import identity, state
from nnx.training.checkpoints.store import Store, logger
from nnx.training.run import Callback, Run

INTERVAL = re.compile(r"(?P<steps>\d+)|(?P<time>\d+(\.\d+)?)(?P<unit>[smh])")
DATA = "the "  # the names of the data's fingerprints start with it
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Checkpoint(Callback):
    """Write the whole state of a training run to a folder, and resume from it.

    A run may be stopped at any moment: by a signal, an error or a power failure. Resumed with
    ``resume=True``, it gives bit-identical results to an uninterrupted run: parameters, history, metrics. A
    checkpoint is a safetensors file with a checksum. It appears whole or not at all, and `nnx.load` reads its
    network.

    An interrupt (Ctrl-C) or SIGTERM during `fit` takes effect after the current step and a checkpoint of it.
    A second one takes effect at once.

    Parameters
    ----------
    folder : path-like
        A separate folder for this run; it is locked during training. If several calls of `fit` use one
        `Checkpoint`, they are numbered, and each has its own checkpoints.
    every : int or str
        Optimizer steps (``500``, ``"500"``) or time (``"30s"``, ``"5m"``, ``"1h"``) between checkpoints.
        There is also one at the start and one at the end. For a small network that a compiled loop trains,
        checkpoints are written between epochs only.
    wait : str, optional
        A time such as ``"1m"``, before which no checkpoint is written, not even at the start. If a later
        checkpoint cannot be written, there is one warning, and training continues.
        ``fit(on_nonfinite="rollback")`` needs a `Checkpoint` without `wait`.
    keep : int ≥ 1
        How many of the newest checkpoints to keep, in addition to the best one.
    best : str or None
        A name in the history. The checkpoint with the best value is kept. ``"auto"`` means ``val_loss`` if
        there is validation data, else ``loss``.
    mode : {"auto", "min", "max"}
        Whether the smallest or the largest value is the best, as for `EarlyStopping`.
    resume : bool
        Resume from the newest intact checkpoint; start from the beginning if there is none.
    about : dict, optional
        More facts that a resumed run must have in common with its checkpoint, by name.

    Raises
    ------
    ConfigurationError
        If an argument is invalid, or the run differs from the one that wrote the checkpoint.
    FileFormatError
        If there are checkpoints, but none is intact.
    OutputError
        If a checkpoint cannot be written (without `wait`), if another run uses the folder, or if it contains
        checkpoints and `resume` is False.
    """

    every_rank = False
    named: Callable[[str], str] = staticmethod(str)  # returns the name of an entry of `about` for messages
    usual: Mapping[str, Any] = MappingProxyType({})  # defaults of the entries of `about`

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
        steps, seconds = _interval(every)
        if not steps and not seconds:
            raise ConfigurationError(
                f"Checkpoint: every must be a number of steps or a time such as '30s', not {every!r}"
            )
        _, waited = (None, 0.0) if wait is None else _interval(wait)
        if waited is None:
            raise ConfigurationError(f"Checkpoint: wait must be a time such as '1m', not {wait!r}")
        self.steps, self.seconds, self.wait = steps or 0, seconds or math.inf, waited
        check_mode("Checkpoint", mode)
        self.best, self.mode, self.resume = best, mode, flag("Checkpoint: resume", resume)
        self.about = plain("Checkpoint: about", about or {})
        self.store = Store(Path(folder), whole("Checkpoint: keep", keep))
        self.fit = 0
        self.newest: Path | None = None
        self._best: dict[str, Any] = {"value": math.inf, "name": ""}
        self._ending = ExitStack()
        self._held = False
        self._began = math.inf  # when the first fit began

    # ------------------------------------------------------------------ a run

    def on_train_begin(self, run: Run) -> None:
        """Lock the folder. Resume from its newest checkpoint, or write one of the start."""
        self.fit += 1
        self._best = {"value": math.inf, "name": ""}
        named = self.best not in (None, "auto")
        self._sign = sign("Checkpoint", str(self.best), self.mode, run.directions) if named else 1.0
        self.newest, self._taken = None, (-1, -1)
        if run.network.span != (0, len(run.network.arena)):
            raise ConfigurationError(
                "checkpoints need the whole network, but this is a slice: fit the network, and set "
                "trainable=False on its other layers"
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
                f"{self.store.folder} contains checkpoints: resume from them (resume=True; on the command "
                "line: --resume), or choose another folder"
            )
        self._clock = time.monotonic()
        if not self.load_newest(run):
            if self.wait:
                state.of_callbacks(run)  # if a checkpoint cannot store a value, raise now, not after the wait
            else:
                self.take(run)

    def on_train_end(self, run: Run) -> None:
        """Unlock the folder."""
        self._ending.close()

    def steps_left(self, run: Run) -> int:
        """Return how many steps can be taken before `between_steps` must be called."""
        return self.steps - run.step % self.steps if self.steps else 2**62

    def between_steps(self, run: Run) -> None:
        """Write a checkpoint if one is due; called after all other callbacks."""
        if time.monotonic() - self._began < self.wait:
            return
        due = self.steps and run.step // self.steps > self._taken[0] // self.steps
        late = time.monotonic() - self._clock >= self.seconds
        if due or late or run.interrupt or (run.over and not run.batch):
            self._try(run)

    def _try(self, run: Run) -> None:
        """Write a checkpoint. With `wait`, a failure is a warning and does not end the run."""
        try:
            self.take(run)
        except (OutputError, OutOfMemoryError) as error:
            if not self.wait:
                raise
            self._taken, self._clock = (run.step, run.epoch), time.monotonic()  # no retry at the next step
            if "unwritten" not in run.warned:
                run.warned.add("unwritten")
                logger.warning(
                    "no checkpoint of step %d (%s): training continues, but if it is stopped, it can be "
                    "resumed only from an earlier checkpoint, if there is one", run.step, error,
                )  # fmt: skip

    # ---------------------------------------------------------- write and read

    def take(self, run: Run) -> None:
        """Write a checkpoint, unless this state was written already or has a fault."""
        arena = run.network.arena
        if self._taken == (run.step, run.epoch) or int(arena.backend.to_numpy(arena.fault)[0]):
            return  # on a GPU, training sees a fault at the end of the epoch only
        self._hold()
        path = self.store.path(self.fit, run.step)
        self._follow_best(run, path.name)
        weights, arrays, counts = state.capture(run)
        counts |= {"facts": self._facts(run), "versions": _versions(run)}
        counts |= {"options": self.about, "epochs": run.epochs}  # to name what a resumed run has changed
        model_files.write(path, weights, run.network.config(), {"checkpoint": True}, (arrays, counts))
        self.newest, self._taken, self._clock = path, (run.step, run.epoch), time.monotonic()
        self.store.prune(self.fit, self._best["name"])

    def load_newest(self, run: Run) -> bool:
        """Restore a run from the newest intact checkpoint; return False if there is none."""
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
                f"{path}: the state of the training in it is damaged ({error!r:.100})"
            ) from error
        logger.info("resuming from %s, after %d steps", path, run.step)
        self.newest, self._taken = path, (run.step, run.epoch)
        return True

    def remove(self) -> None:
        """Remove the checkpoints of a finished run, and their folder if it is then empty."""
        self.store.remove()

    def state(self) -> dict[str, Any]:
        """Return the file name and the value of the best checkpoint."""
        return dict(self._best)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._best = dict(state)

    def _facts(self, run: Run) -> dict[str, Any]:
        facts = run.facts() | {"callbacks": self._callbacks}
        about = {f"about {name}" if name in facts else name: value for name, value in self.about.items()}
        return about | facts

    def _compare(self, run: Run, path: Path, counts: dict[str, Any]) -> None:
        """Raise an error if a checkpoint is from another run; warn if versions or threads differ."""
        then, now = counts["versions"], _versions(run)
        if differ := [name for name in now if then.get(name, now[name]) != now[name]]:
            logger.warning(
                "%s was written with %s, and this run has %s: the last digits of the results may differ from "
                "those of an uninterrupted run",
                path, _listed(then, differ), _listed(now, differ),
            )  # fmt: skip
        self._compare_options(path, counts.get("options", {}), json.loads(json.dumps(self.about)))
        then, now = self._facts_of_both(run, counts["facts"])
        differ = [name for name in dict.fromkeys((*then, *now)) if then.get(name) != now.get(name)]
        if not differ:
            return
        if differ == ["optimizer"] and (epochs := counts.get("epochs", run.epochs)) != run.epochs:
            raise ConfigurationError(
                f"{path} is from a run of {epochs} epochs, and its learning rate depends on that number: "
                f"resume with {self.named('epochs')} {epochs}, or start in another folder"
            )
        # report the simplest first: a number or a name, then data, then lists of layers and callbacks
        rank = {name: 1 if name.startswith(DATA) else 2 * isinstance(then.get(name), list) for name in differ}
        name = min(differ, key=rank.__getitem__)
        what = identity.difference(name, then.get(name), now.get(name))
        if name.startswith(DATA):  # fingerprints mean nothing to a reader
            what = f"other {name.removeprefix(DATA)}"
        raise ConfigurationError(
            f"{path} is from a run with {what}: resume with the same, or start in another folder"
        )

    def _facts_of_both(self, run: Run, then: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the facts of a checkpoint and of this run, also of a checkpoint from an older version."""
        now = json.loads(json.dumps(self._facts(run)))
        for name in ("loss", "optimizer"):
            if isinstance(then.get(name), str):  # written by version 0.1
                now[name] = identity.as_in_0_1(now[name])
        usual = json.loads(json.dumps(dict(self.usual)))  # for options that are newer than the checkpoint
        then = {n: usual[n] for n in self.about if n in usual and f"about {n}" not in now} | then
        missing = {n: now[n] for n in now if n.startswith("about ") and n not in then}  # in version 0.1
        for facts in (then, now):
            facts["layers"] = identity.without_initial_weights(facts.get("layers"))
        return then | missing, now

    def _compare_options(self, path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
        """Raise an error that names the option that differs. Older checkpoints do not store options."""
        for name, old in then.items():
            if name in now and now[name] != old:
                was, is_ = (_given(self.named(name), value) for value in (old, now[name]))
                raise ConfigurationError(
                    f"{path} is from a run {was}, and this one is {is_}: "
                    "resume with the same, or start in another folder"
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


def _interval(text: object) -> tuple[int | None, float | None]:
    """Return the steps that ``"500"`` means, or the seconds that ``"30s"`` means; the other is None."""
    found = INTERVAL.fullmatch(str(text).strip())
    if found is None:
        return None, None
    if found["steps"]:
        return int(found["steps"]), None
    return None, float(found["time"]) * SECONDS[found["unit"]]


def _given(option: str, value: Any) -> str:
    if value is None or value is False:
        return f"without {option}"
    if value is True:
        return f"with {option}"
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return f"with {option} {shlex.quote(value) if isinstance(value, str) else identity.short(value)}"


def _versions(run: Run) -> dict[str, str | int]:
    """Return what the last digits of results depend on; a checkpoint of an earlier version may have less."""
    backend = run.network.arena.backend
    found = {"nnx": version("nnx-arrays"), "numpy": np.__version__, "backend": backend.name}
    if backend.device != "cpu":
        gpu, cuda = backend.hardware()["name"], backend.versions()["cuda_runtime"]
        return found | {"GPU": gpu, "CUDA": cuda, "TF32": "on" if backend.tf32 else "off"}
    blas = backend.blas_name(run.network.precision == "bfloat16")
    return found | {"threads": backend.team()[0], "BLAS": blas}


def _listed(values: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {values[name]}" for name in names)
