"""Callbacks: what happens between epochs and steps of `fit` besides training."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx.errors import ConfigurationError, OutputError, flag, nearest, number, whole
from nnx.files import replacing
from nnx.metrics.choice import check_mode, sign


class History:
    """What an epoch measured, one list for each name.

    Attributes
    ----------
    metrics : dict of str to list of float
        ``"loss"`` (the mean over the epoch's samples, while they were trained on), ``"val_loss"``, …
    epochs : list of int
        The number of each epoch recorded, from 1.
    steps : int
        Optimizer steps in all.
    left_out : int
        Batches whose update was left out, as their loss or gradients were not finite
        (``fit(on_nonfinite="skip")``).
    rollbacks : int
        Times that training went back to a checkpoint (``fit(on_nonfinite="rollback")``).
    seconds, training_seconds : float
        Time spent in `fit`, and in its epochs without validation and the callbacks behind an epoch.
    first_step_seconds : float
        From the beginning of the first epoch to the end of its first step (where small networks are trained
        in one piece, of that epoch): kernels are compiled and workspaces allocated in it.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.steps = 0
        self.left_out = 0
        self.rollbacks = 0
        self.seconds = 0.0
        self.training_seconds = 0.0
        self.first_step_seconds = 0.0

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.metrics:
            raise KeyError(f"{name!r} was not recorded{nearest(name, self.metrics)}")
        return self.metrics[name]

    def last(self) -> dict[str, float]:
        """The newest value of each name."""
        return {name: values[-1] for name, values in self.metrics.items()}

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """One line an epoch, the names in the first; the file appears whole or not at all."""
        with replacing(path) as file:
            text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
            writer = csv.writer(text)
            writer.writerow(["epoch", *self.metrics])
            writer.writerows(zip(self.epochs, *self.metrics.values(), strict=True))
            text.detach()

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={value:.6g}" for name, value in self.last().items())
        return f"History({len(self.epochs)} epochs, {last})"


@dataclass
class Run:
    """A training run as callbacks see it.

    Attributes
    ----------
    network : Network
    optimizer : Optimizer
    history : History
    epochs, batches : int
        Epochs asked for, batches an epoch.
    epoch, step : int
        Epochs finished, steps finished in this run.
    batch : int
        Batches finished in the epoch under way.
    stop : str
        Set it to a reason to end training after this epoch (before the first: to train none).
    failed : bool
        At the end: whether an error or an interrupt brought it about.
    on_nonfinite : str
        What follows on a loss or gradient that is not finite, see `Network.fit`.
    interrupt : int
        The signal that ends training after this step, where a `Checkpoint` takes care of it; else 0.
    losses : array
        Each batch's loss in the epoch under way, where the network computes.
    callbacks : sequence of Callback
    loss : Loss
    begun : dict
        The settings that callbacks can change, as they were when training began.
    warned : set of str
        What a reader was warned of.
    facts : callable
        Returns what a resumed run must have in common with its checkpoint, by name.
    directions : dict of str to str or None
        For each value that `fit` records: ``"min"`` where smaller is better, ``"max"`` where larger is, None
        where that is not known.
    """

    network: Any
    optimizer: Any
    history: History
    epochs: int
    batches: int
    epoch: int = 0
    step: int = 0
    batch: int = 0
    stop: str = ""
    failed: bool = False
    on_nonfinite: str = "stop"
    interrupt: int = 0
    losses: Any = None
    callbacks: Sequence[Callback] = ()
    loss: Any = None
    begun: dict[str, Any] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    facts: Callable[[], dict[str, Any]] = dict
    directions: dict[str, str | None] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether no epoch is left to train."""
        return self.epoch >= self.epochs or bool(self.stop)

    def record(self, loss: float) -> None:
        """An epoch is finished, with that mean loss."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.history.epochs.append(self.epoch)
        self.history.metrics.setdefault("loss", []).append(loss)


class Callback:
    """Base of the callbacks; override what is needed.

    Attributes
    ----------
    every_n_epochs : int
        Call `on_epoch_end` every n epochs and after the last one. It may be called more often. Small networks
        are trained for so many epochs in one piece.
    every_rank : bool
        False where only the first rank of a distributed job is to have it, because it writes or prints.
    """

    every_n_epochs: int = 1
    every_rank: bool = True

    def on_train_begin(self, run: Run) -> None:
        """Before the first epoch."""

    def on_step_end(self, run: Run) -> None:
        """After each optimizer step."""

    def on_epoch_end(self, run: Run) -> None:
        """After each epoch, its values recorded in ``run.history``."""

    def on_train_end(self, run: Run) -> None:
        """After the last epoch, or after an error or interrupt."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, by name: NumPy arrays, and what JSON can hold.

        Without this method a checkpoint holds the attributes that changed since `on_train_begin`: numbers,
        texts, schedules, and lists, tuples, sets and mappings of them. Others (arrays, deques, objects)
        need it; a warning names an array or a collection that changed.
        """
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`, after `on_train_begin`."""


def overrides(callback: Callback, method: str) -> bool:
    """Whether a callback has a method of this name other than the empty one of `Callback`."""
    return getattr(getattr(callback, method), "__func__", None) is not getattr(Callback, method)


class _Monitor(Callback):
    """Follows one recorded value towards its best."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        check_mode(type(self).__name__, mode)
        self.monitor, self.mode = monitor, mode
        self.min_delta = number(f"{type(self).__name__}: min_delta", min_delta, "[0, inf)")
        self._sign = 1.0
        self.best = math.inf

    def on_train_begin(self, run: Run) -> None:
        self.best = math.inf
        self._sign = sign(type(self).__name__, self.monitor, self.mode, run.directions)

    def state(self) -> dict[str, Any]:
        return {"best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def improved(self, run: Run) -> bool:
        """Whether the newest value is the best so far, by `min_delta` at least."""
        if self.monitor not in run.history.metrics:
            if self.monitor.startswith("val_") and "val_loss" not in run.history.metrics:
                raise ConfigurationError(
                    f"{type(self).__name__}: {self.monitor} is recorded only with validation data: give fit "
                    'validation=0.2, or monitor="loss"'
                )
            raise ConfigurationError(
                f"{type(self).__name__}: {self.monitor!r} is not recorded in this run"
                f"{nearest(self.monitor, run.history.metrics)}"
            )
        value = self._sign * run.history[self.monitor][-1]
        if value < self.best - self.min_delta:
            self.best = value
            return True
        return False


class EarlyStopping(_Monitor):
    """Stop when a recorded value has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        A name in the history. ``val_loss`` needs ``validation=`` in fit.
    patience : int
        Stop after this many epochs in a row without improvement.
    min_delta : float ≥ 0
        The smallest change that counts as improvement.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better. Auto knows it for losses, nnx's metrics and scikit-learn's;
        for a metric of your own, state it.
    restore_best : bool
        Put the parameters of the best epoch back at the end.

    Raises
    ------
    ConfigurationError
        Before training, if the mode is auto and nothing says whether smaller or larger is better.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = whole("EarlyStopping: patience", patience, least=0)
        self.restore_best = flag("EarlyStopping: restore_best", restore_best)
        self.waited = 0
        self.best_epoch = 0
        self._kept: Any = None

    def on_train_begin(self, run: Run) -> None:
        """Forget an earlier run."""
        super().on_train_begin(run)
        self.waited, self.best_epoch, self._kept = 0, 0, None

    def on_epoch_end(self, run: Run) -> None:
        """Keep the best parameters on the host, count the epochs since."""
        if self.improved(run):
            self.waited, self.best_epoch = 0, run.epoch
            if self.restore_best:
                self._kept = run.network.weights()
            return
        self.waited += 1
        if self.waited >= self.patience:
            run.stop = f"{self.monitor} has not improved since epoch {self.best_epoch}"

    def state(self) -> dict[str, Any]:
        """The best value and its parameters, and the epochs since."""
        kept = {f"kept.{name}": value for name, value in (self._kept or {}).items()}
        return super().state() | {"waited": self.waited, "best_epoch": self.best_epoch} | kept

    def restore(self, state: dict[str, Any]) -> None:
        """Wait on from there."""
        super().restore(state)
        self.waited, self.best_epoch = state["waited"], state["best_epoch"]
        kept = {name.removeprefix("kept."): v for name, v in state.items() if name.startswith("kept.")}
        self._kept = kept or None

    def on_train_end(self, run: Run) -> None:
        """Put the best parameters back, unless an error or interrupt ended the training."""
        if self._kept is not None and not run.failed:
            run.network.set_weights(self._kept)
        self._kept = None


class BestCheckpoint(_Monitor):
    """Save the network whenever a recorded value is the best so far.

    Parameters
    ----------
    path : path
        A safetensors file, replaced whole each time.
    monitor, min_delta, mode
        As for `EarlyStopping`.
    """

    every_rank = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.path = Path(path)

    def on_epoch_end(self, run: Run) -> None:
        """Save on improvement."""
        if self.improved(run):
            run.network.save(self.path)


class CSVLog(Callback):
    """Write the history to a CSV file after every epoch; of long trainings at most 200 times or so."""

    every_rank = False
    most = 200  # the whole file is written and flushed to the disk each time

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_train_begin(self, run: Run) -> None:
        """Choose how often."""
        self.every_n_epochs = max(1, run.epochs // self.most)
        self._written = 0

    def on_epoch_end(self, run: Run) -> None:
        """Replace the file by one with the new lines."""
        if run.epoch % self.every_n_epochs == 0 or run.over:
            run.history.write_csv(self.path)
            self._written = run.epoch

    def on_train_end(self, run: Run) -> None:
        """What is not written yet; after an error or interrupt too, which is the one to tell."""
        if run.epoch != self._written:
            with suppress(OutputError) if run.failed else nullcontext():
                run.history.write_csv(self.path)


class Progress(Callback):
    """One line an epoch, through a function that prints it.

    Parameters
    ----------
    write : callable
        Takes a line; `print` by default.
    every : int
        Epochs between lines; the last is always written.
    """

    every_rank = False

    def __init__(self, write: Callable[[str], Any] = print, every: int = 1) -> None:
        self.write = write
        self.every = whole("Progress: every", every)
        self._written = 0

    @property
    def every_n_epochs(self) -> int:  # type: ignore[override]
        """As often as lines are written."""
        return self.every

    def on_train_begin(self, run: Run) -> None:
        """Forget an earlier run."""
        self._written = 0

    def on_epoch_end(self, run: Run) -> None:
        """Epoch, and every value it recorded."""
        if run.epoch % self.every == 0 or run.over:
            self._tell(run)

    def on_train_end(self, run: Run) -> None:
        """The last epoch, where a callback that was told later has made it the last."""
        if run.stop and run.history.epochs and run.epoch != self._written and not run.failed:
            self._tell(run)

    def _tell(self, run: Run) -> None:
        self._written = run.epoch
        values = "  ".join(f"{name} {value:.6g}" for name, value in run.history.last().items())
        self.write(f"epoch {run.epoch}/{run.epochs}  {values}")
