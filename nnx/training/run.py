"""A training run: its history, its state, and the callbacks that `fit` calls during it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnx.errors import nearest
from nnx.files import replacing
from nnx.training.average import WeightAverage


class History:
    """The values of each epoch: one list for each name.

    Attributes
    ----------
    metrics : dict of str to list of float
        ``"loss"`` (the mean over the epoch's rows, computed during training), ``"val_loss"``, …; and each
        term that layers add to the loss by its name, such as ``"sparsity"`` and ``"val_sparsity"``. The loss
        includes the terms.
    statistics : dict of str to list of float
        What `WeightStatistics` recorded, by names such as ``"update_ratio/dense_1"``.
    epochs : list of int
        Number of each recorded epoch, from 1.
    steps : int
        Number of optimizer steps.
    left_out : int
        Batches that did not update the network because their loss or gradients were not finite
        (``fit(on_nonfinite="skip")``).
    rollbacks : int
        How often training returned to a checkpoint (``fit(on_nonfinite="rollback")``).
    replayed : int
        Steps that a CUDA graph replayed; 0 on a CPU.
    not_replayed : str
        On a GPU, why steps were not replayed; empty if they were, or if there were too few.
    seconds : float
        Time spent in `fit`.
    training_seconds : float
        Time spent in its epochs, without validation and without what callbacks do after an epoch.
    first_step_seconds : float
        Time of the first step; for small networks, which a compiled loop trains, of the first epoch. It
        includes the compilation of kernels and the allocation of memory.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, list[float]] = {}
        self.statistics: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.steps = 0
        self.left_out = 0
        self.rollbacks = 0
        self.replayed = 0
        self.not_replayed = ""
        self.seconds = 0.0
        self.training_seconds = 0.0
        self.first_step_seconds = 0.0

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.metrics:
            raise KeyError(f"{name!r} was not recorded{nearest(str(name), self.metrics)}")
        return self.metrics[name]

    def last(self) -> dict[str, float]:
        """Return the newest value of each name."""
        return {name: values[-1] for name, values in self.metrics.items()}

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file, whole or not at all: a line with the names, then a line for each epoch.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        with replacing(path) as file:
            text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
            writer = csv.writer(text)
            columns = self.metrics | self.statistics
            writer.writerow(["epoch", *columns])
            writer.writerows(zip(self.epochs, *columns.values(), strict=True))
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
        Number of epochs to train, and of batches in an epoch.
    epoch, step : int
        Number of finished epochs and finished steps.
    batch : int
        Number of finished batches of the current epoch.
    stop : str
        Set it to a reason to end training after this epoch. Set before the first epoch, none is trained.
    failed : bool
        In `on_train_end`: whether an error or an interrupt ended training.
    on_nonfinite : str
        What to do when a loss or gradient is not finite, see `Network.fit`.
    interrupt : int
        The signal that ends training after this step, if there is a `Checkpoint`; else 0.
    losses : array
        Loss of each batch of the current epoch, on the network's device.
    terms : array
        The terms in these losses that layers added, of shape (batches, names).
    callbacks : sequence of Callback
    loss : Loss
    begun : dict
        Values of the settings that callbacks can change, from the start of training.
    warned : set of str
        The warnings that were already given.
    facts : callable
        Returns what must be the same in a resumed run and its checkpoint, by name.
    directions : dict of str to str or None
        For each recorded value: ``"min"`` if smaller is better, ``"max"`` if larger is better, None if that
        is unknown.
    average : WeightAverage or None
        The running average of the parameters, with ``fit(average=…)``.
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
    terms: Any = None
    callbacks: Sequence[Callback] = ()
    loss: Any = None
    begun: dict[str, Any] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    facts: Callable[[], dict[str, Any]] = dict
    directions: dict[str, str | None] = field(default_factory=dict)
    average: WeightAverage | None = None

    @property
    def over(self) -> bool:
        """Return whether training is finished."""
        return self.epoch >= self.epochs or bool(self.stop)

    def record(self, *losses: float) -> None:
        """Count finished epochs and store the mean loss of each."""
        first, self.epoch, self.batch = self.epoch + 1, self.epoch + len(losses), 0
        self.history.epochs.extend(range(first, self.epoch + 1))
        self.history.metrics.setdefault("loss", []).extend(losses)


class Callback:
    """Base class of callbacks: override the methods you need.

    Attributes
    ----------
    every_n_epochs : int
        How often `on_epoch_end` must be called: every n epochs and after the last one. It may be called more
        often. A compiled loop trains a small network for up to n epochs in one call.
    every_rank : bool
        False if only the first rank of a distributed job calls it, for example because it writes a file.
    writes_path : bool
        Whether it writes the file `path`, so that no other callback may write the same.
    """

    every_n_epochs: int = 1
    every_rank: bool = True
    writes_path: bool = False

    def on_train_begin(self, run: Run) -> None:
        """Do something before the first epoch."""

    def on_step_end(self, run: Run) -> None:
        """Do something after each optimizer step."""

    def on_epoch_end(self, run: Run) -> None:
        """Do something after each epoch; ``run.history`` already has its values."""

    def on_train_end(self, run: Run) -> None:
        """Do something after the last epoch, or after an error or an interrupt."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores of this callback, by name: NumPy arrays, and values for JSON.

        A callback without this method is stored by its attributes that changed since `on_train_begin`:
        numbers, text, schedules, and lists, tuples, sets and mappings of these. A callback that changes other
        attributes (arrays, deques, objects) needs this method. A warning names an array or collection that
        changed and was not stored.
        """
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; called after `on_train_begin`."""


def overrides(callback: Callback, method: str) -> bool:
    """Return whether a callback defines this method, which is empty in `Callback`."""
    return getattr(getattr(callback, method), "__func__", None) is not getattr(Callback, method)
