"""The callbacks of nnx: stop early, lower the learning rate, save the best network, print the history."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from nnx.errors import ConfigurationError, OutputError, flag, nearest, number, whole
from nnx.metrics.choice import check_mode, sign
from nnx.training.run import Callback, Run


class _Monitor(Callback):
    """Follow one recorded value and remember its best."""

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
        """Return whether the newest value is better than the best so far by more than `min_delta`."""
        if self.monitor not in run.history.metrics:
            if self.monitor.startswith("val_") and "val_loss" not in run.history.metrics:
                raise ConfigurationError(
                    f"{type(self).__name__}: {self.monitor} needs validation data: set validation=0.2 in "
                    'fit, or monitor="loss"'
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
    """Stop training when a recorded value has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        A name in the history. ``val_loss`` needs ``validation=`` in `fit`.
    patience : int
        Stop after this many epochs in a row without improvement; 0 acts as 1.
    min_delta : float ≥ 0
        A value counts as better only if it differs from the best by more than this.
    mode : {"auto", "min", "max"}
        Whether a smaller or a larger value is better. ``"auto"`` works for losses, and for the metrics of nnx
        and scikit-learn. For a metric of yours, choose ``"min"`` or ``"max"``.
    restore_best : bool
        At the end, restore the parameters of the best epoch.

    Raises
    ------
    ConfigurationError
        If an argument is invalid; before training, if the mode is auto and it is unknown which value is
        better; after the first epoch, if `monitor` is not recorded.
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
        self._weights: Any = None  # of the best epoch

    def on_train_begin(self, run: Run) -> None:
        """Start again from nothing."""
        super().on_train_begin(run)
        self.waited, self.best_epoch, self._weights = 0, 0, None

    def on_epoch_end(self, run: Run) -> None:
        """Copy the parameters if the value improved; else count the epoch, and stop after `patience`."""
        if self.improved(run):
            self.waited, self.best_epoch = 0, run.epoch
            if self.restore_best:
                self._weights = run.network.weights()
            return
        self.waited += 1
        if self.waited >= self.patience:
            run.stop = f"{self.monitor} has not improved since epoch {self.best_epoch}"

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch and parameters, and the epochs without improvement."""
        weights = {f"kept.{name}": value for name, value in (self._weights or {}).items()}
        return super().state() | {"waited": self.waited, "best_epoch": self.best_epoch} | weights

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        self.waited, self.best_epoch = state["waited"], state["best_epoch"]
        weights = {name.removeprefix("kept."): v for name, v in state.items() if name.startswith("kept.")}
        self._weights = weights or None

    def on_train_end(self, run: Run) -> None:
        """Restore the best parameters, unless an error or an interrupt ended training."""
        if self._weights is not None and not run.failed:
            run.network.set_weights(self._weights)
        self._weights = None


class ReduceOnPlateau(_Monitor):
    """Lower the learning rate when a recorded value has not improved for some epochs.

    All rates are multiplied by `factor`, also those of a schedule and of parameter groups, and stay lower:
    for this network, a later `fit` with the same optimizer object starts with them. The history gets each
    epoch's last ``learning_rate``. A resumed run has the rates and counts of its checkpoint.

    Parameters
    ----------
    monitor, min_delta, mode
        As for `EarlyStopping`.
    factor : float in (0, 1)
    patience : int
        Lower the rate after this many epochs in a row without improvement, then count again; 0 acts as 1.
    least : float in [0, 1]
        The rates do not fall below this share of what they are without this callback.

    Raises
    ------
    ConfigurationError
        As for `EarlyStopping`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        least: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = number("ReduceOnPlateau: factor", factor, "(0, 1)")
        self.patience = whole("ReduceOnPlateau: patience", patience, least=0)
        self.least = number("ReduceOnPlateau: least", least, "[0, 1]")
        self.waited, self.share = 0, 1.0

    def on_train_begin(self, run: Run) -> None:
        """Start again from nothing."""
        super().on_train_begin(run)
        self.waited, self.share = 0, 1.0

    def on_epoch_end(self, run: Run) -> None:
        """Record the learning rate; lower it if the value has not improved for `patience` epochs."""
        kept, _ = run.optimizer.state_for(run.network)
        rates = run.history.metrics.setdefault("learning_rate", [])
        if len(rates) < len(run.history.epochs):
            rates.append(run.optimizer.rate(max(kept.step - 1, 0)) * kept.scale)
        if self.improved(run):
            self.waited = 0
            return
        self.waited += 1
        share = max(self.share * self.factor, self.least)
        if self.waited >= self.patience and share < self.share:
            kept.scale *= share / self.share
            self.waited, self.share = 0, share

    def state(self) -> dict[str, Any]:
        """Return the best value, the epochs without improvement, and how far the rates are lowered."""
        return super().state() | {"waited": self.waited, "share": self.share}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; the checkpoint restores the rates."""
        super().restore(state)
        self.waited, self.share = state["waited"], state["share"]


class BestCheckpoint(_Monitor):
    """Save the network after each epoch in which a recorded value is the best so far.

    Parameters
    ----------
    path : path-like
        A safetensors file. Each save replaces it as a whole.
    monitor, min_delta, mode
        As for `EarlyStopping`.

    Raises
    ------
    ConfigurationError
        As for `EarlyStopping`.
    OutputError
        During training, if the file cannot be written.
    """

    every_rank = False
    writes_path = True

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
        """Save the network if the value improved."""
        if self.improved(run):
            run.network.save(self.path)


class CSVLog(Callback):
    """Write the history to a CSV file after each epoch; in long trainings, about 200 times in total.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    OutputError
        During training, if the file cannot be written.
    """

    every_rank = False
    writes_path = True
    most = 200  # each write replaces the whole file and flushes it to disk

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_train_begin(self, run: Run) -> None:
        """Choose after how many epochs to write."""
        self.every_n_epochs = max(1, run.epochs // self.most)
        self._written = 0

    def on_epoch_end(self, run: Run) -> None:
        """Write the file again with the new epochs."""
        if run.epoch % self.every_n_epochs == 0 or run.over:
            run.history.write_csv(self.path)
            self._written = run.epoch

    def on_train_end(self, run: Run) -> None:
        """Write the epochs that are still missing, also after an error or an interrupt."""
        if run.epoch != self._written:
            # if training failed, report its error and not one of writing
            with suppress(OutputError) if run.failed else nullcontext():
                run.history.write_csv(self.path)


class Progress(Callback):
    """Print one line for each epoch.

    Parameters
    ----------
    write : callable
        Called with each line.
    every : int
        Print every n-th epoch, and the last one.

    Raises
    ------
    ConfigurationError
        If `every` is not a positive integer.
    """

    every_rank = False

    def __init__(self, write: Callable[[str], Any] = print, every: int = 1) -> None:
        self.write = write
        self.every = whole("Progress: every", every)
        self._written = 0

    @property
    def every_n_epochs(self) -> int:  # type: ignore[override]
        """How often `on_epoch_end` must be called."""
        return self.every

    def on_train_begin(self, run: Run) -> None:
        """Start again from nothing."""
        self._written = 0

    def on_epoch_end(self, run: Run) -> None:
        """Print the epoch's number and values."""
        if run.epoch % self.every == 0 or run.over:
            self._write_line(run)

    def on_train_end(self, run: Run) -> None:
        """Print the last epoch, if a callback called after this one stopped training in it."""
        if run.stop and run.history.epochs and run.epoch != self._written and not run.failed:
            self._write_line(run)

    def _write_line(self, run: Run) -> None:
        self._written = run.epoch
        values = "  ".join(f"{name} {value:.6g}" for name, value in run.history.last().items())
        self.write(f"epoch {run.epoch}/{run.epochs}  {values}")
