"""Callbacks that pass a training's values to other programs: JSON lines, TensorBoard, MLflow."""

from __future__ import annotations

import importlib
import json
import math
import os
import posixpath
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, TextIO

from nnx.errors import ConfigurationError, MissingLibraryError, OutputError
from nnx.files import make_folder, opened_log, record
from nnx.training.run import Callback, Run

Rows = list[tuple[int, dict[str, float]]]


class _Live(Callback):
    """Write each recorded epoch once, soon after it ends; in long trainings, write several epochs together.

    If several calls of `fit` use one callback, they are numbered: `training` is 1 in the first.
    """

    every_rank = False
    most = 1000  # writes in a training, about

    def __init__(self) -> None:
        self.training = 0
        self._written: list[float] = []
        self._rollbacks = 0

    def begin(self, run: Run) -> None:
        """Do this before the first row of a training."""

    def write(self, rows: Rows) -> None:
        """Write rows: each is an epoch and its values by name."""
        raise NotImplementedError

    def end(self, run: Run) -> None:
        """Do this after the last row of a training."""

    def on_train_begin(self, run: Run) -> None:
        """Count the training."""
        self.training += 1
        self._written, self._rollbacks = [], 0
        self.every_n_epochs = max(1, run.epochs // self.most)
        self.begin(run)

    def on_epoch_end(self, run: Run) -> None:
        """Write the new epochs; in a resumed run, also the epochs recorded before."""
        if run.epoch % self.every_n_epochs == 0 or run.epoch == run.epochs:
            self._write_new(run)

    def on_train_end(self, run: Run) -> None:
        """Write the remaining epochs, and close what is open."""
        try:
            if not run.failed:
                self._write_new(run)
        finally:
            self.end(run)

    def _write_new(self, run: Run) -> None:
        epochs, metrics = run.history.epochs, run.history.metrics
        losses = metrics.get("loss", [])
        if run.history.rollbacks != self._rollbacks:  # the epochs after the rollback are trained again
            self._rollbacks = run.history.rollbacks
            same = zip(self._written, losses, strict=False)
            del self._written[sum(takewhile(bool, (before == loss for before, loss in same))) :]
        rows = [
            (epochs[place], {name: values[place] for name, values in metrics.items()})
            for place in range(len(self._written), len(epochs))
        ]
        self._written += losses[len(self._written) :]
        if rows:
            self.write(rows)

    def _named(self, name: str) -> str:
        """Return the name of a value; from the second training on it starts with the training's number."""
        return name if self.training == 1 else f"training_{self.training}/{name}"


class JSONLog(_Live):
    """Write a JSON object on its own line after each epoch; ``tail -f`` and other programs can follow.

    Each object has ``training`` (1 in the first `fit` with this callback), ``epoch``, and every recorded
    value. A value that is not finite is null.

    Parameters
    ----------
    path : path-like
        The file, in UTF-8. The first `fit` overwrites it.

    Raises
    ------
    OutputError
        During training, if the file cannot be written, or is a link, a device or a pipe.
    """

    most = 10**9  # write every epoch at once
    writes_path = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path)
        self._file: TextIO | None = None

    def begin(self, run: Run) -> None:
        """Open the file."""
        self._file = opened_log(self.path, empty=self.training == 1)

    def write(self, rows: Rows) -> None:
        """Write one line for each row, then flush."""
        assert self._file is not None
        try:
            for epoch, values in rows:
                known = {name: value if math.isfinite(value) else None for name, value in values.items()}
                line = {"training": self.training, "epoch": epoch} | known
                self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def end(self, run: Run) -> None:
        """Close the file. `write` has already reported any error."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _unwritable(self, error: OSError) -> OutputError:
        reason = error.strerror or error
        return OutputError(f"cannot write {self.path} ({reason}): choose a path you can write to")


class TensorBoardLog(_Live):
    """Write every recorded value as a TensorBoard scalar, by tensorboardX.

    In a second `fit` with the same callback, the values are called ``training_2/loss``, and so on.

    Parameters
    ----------
    folder : path-like
        Folder for the event files; ``tensorboard --logdir FOLDER`` shows them.

    Raises
    ------
    MissingLibraryError
        If tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        self.folder = Path(folder)
        _ = self._library  # a missing one is reported here, not in training
        self._writer: Any = None

    @property
    def _library(self) -> Any:
        return _library("tensorboardX", "TensorBoardLog", "tensorboardX tensorboard")

    def begin(self, run: Run) -> None:
        """Open an event file."""
        shown = [re.sub(r"[^-/\w.]", "_", name) for name in run.directions]  # as tensorboardX writes them
        for name, tag in zip(run.directions, shown, strict=True):
            if shown.count(tag) > 1:
                raise ConfigurationError(
                    f"TensorBoard shows {name!r} and another metric under one name, {tag!r}: use letters and "
                    "digits in their names"
                )
        make_folder(self.folder)
        # tensorboardX names a file by the second: the next training could overwrite it, and other users
        # could put a link there. The random ending prevents both.
        ending = f".{secrets.token_hex(8)}"
        self._writer = self._library.SummaryWriter(str(self.folder), filename_suffix=ending)
        for path in self.folder.glob(f"*{ending}"):
            record(path, grows=True)

    def write(self, rows: Rows) -> None:
        """Write one scalar for each value, then flush."""
        for epoch, values in rows:
            for name, value in values.items():
                self._writer.add_scalar(self._named(name), value, epoch)
        self._writer.flush()

    def end(self, run: Run) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class MLflowLog(_Live):
    """Record a training as an MLflow run: parameters at the start, values during training, and how it ended.

    MLflow's settings say where: ``MLFLOW_TRACKING_URI``, or else a file ``mlflow.db`` in the current folder.
    ``mlflow ui`` shows it. Each `fit` is a separate run. A long training is written in about 1,000 batches,
    which together hold every epoch.

    Parameters
    ----------
    name : str, optional
        Name of the run; without it, MLflow chooses one.
    experiment : str
        The experiment the run belongs to; it is created if it does not exist.
    parameters : mapping, optional
        More parameters to record. The optimizer, the epochs and the parameter count are always recorded.

    Raises
    ------
    MissingLibraryError
        If MLflow is not installed.
    OutputError
        During training, if MLflow reports an error; the text says why.
    """

    def __init__(
        self,
        name: str | None = None,
        experiment: str = "nnx",
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.experiment = name, experiment
        self.parameters = dict(parameters or {})
        _ = self._library  # a missing one is reported here, not in training
        self._client: Any = None
        self._run = ""

    @property
    def _library(self) -> Any:
        return _library("mlflow", "MLflowLog", "mlflow-skinny sqlalchemy alembic")

    def begin(self, run: Run) -> None:
        """Open a run."""
        for name in run.directions:
            if not re.fullmatch(r"[/\w.\- :]+", name) or posixpath.normpath(name) != name:
                raise ConfigurationError(
                    f"MLflow does not accept a metric called {name!r}: name it with letters, digits, "
                    'spaces and _-.:/, metrics={"name": …}'
                )
        values = {
            "optimizer": type(run.optimizer).__name__,
            "epochs": run.epochs,
            "network_parameters": run.network.parameter_count(),
        } | self.parameters
        try:
            self._client = self._library.MlflowClient()
            known = self._client.get_experiment_by_name(self.experiment)
            owner = known.experiment_id if known else self._client.create_experiment(self.experiment)
            self._run = self._client.create_run(owner, run_name=self.name).info.run_id
            entities = self._library.entities
            parameters = [entities.Param(name, str(value)) for name, value in values.items()]
            self._client.log_batch(self._run, params=parameters)
        except Exception as error:  # MLflow's own, its database's or the connection's
            raise self._refused(error) from error

    def write(self, rows: Rows) -> None:
        """Write the values, 1,000 at a time: MLflow accepts no more in one call."""
        from time import time

        now, metric = int(time() * 1000), self._library.entities.Metric
        metrics = [metric(name, value, now, epoch) for epoch, row in rows for name, value in row.items()]
        try:
            for start in range(0, len(metrics), 1000):
                self._client.log_batch(self._run, metrics=metrics[start : start + 1000])
        except Exception as error:
            raise self._refused(error) from error

    def end(self, run: Run) -> None:
        """Close the run, as failed or finished."""
        if not self._run:
            return
        try:
            self._client.set_terminated(self._run, "FAILED" if run.failed else "FINISHED")
        except Exception as error:
            if not run.failed:  # if training failed, its error is the one to report
                raise self._refused(error) from error
        finally:
            self._run = ""

    def _refused(self, error: Exception) -> OutputError:
        reason = " ".join(str(error).split())
        return OutputError(f"MLflow at {self._library.get_tracking_uri()} reports an error: {reason}")


def _library(name: str, callback: str, packages: str) -> Any:
    """Import an optional library.

    Raises
    ------
    MissingLibraryError
        If it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(f"{callback} needs {name} ({error}): pip install {packages}") from error
