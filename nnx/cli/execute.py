"""Run one experiment, and write a complete folder or none."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from nnx import backends, experiments
from nnx.callbacks import Callback, WeightStatistics
from nnx.checkpoints import Checkpoint
from nnx.cli import backend_change, progress
from nnx.cli.console import messages, say
from nnx.cli.given import given, identity, named, refuse_others
from nnx.cli.interrupted import CHECKPOINTS, UNFINISHED, nothing_half_written
from nnx.distributed import Communicator
from nnx.errors import ConfigurationError
from nnx.experiments import RunFolder
from nnx.experiments.result import read_run
from nnx.experiments.stages import shown_by, stage
from nnx.files import locked, make_folder, new_folder, recorded
from nnx.libraries import EXPERIMENTS, require

LIVE = {"jsonl": "history.jsonl", "tensorboard": "tensorboard"}  # output of --log in a run's folder

LONG = "1m"  # a shorter training writes no checkpoints to `UNFINISHED`

# The processor time used so far: Python's start, and the import of NumPy and nnx. It is part of every run.
_LOADING = time.process_time()

# Defaults for a result's timing, for experiments that train nothing themselves.
_UNTRAINED = {
    "import_seconds": 0.0,
    "data_seconds": 0.0,
    "first_step_seconds": 0.0,
    "train_seconds": 0.0,
    "steps": 0,
    "microseconds_per_step": 0.0,
}


@dataclass(frozen=True)
class Options:
    """The options of a run that are not part of its experiment's configuration.

    Attributes
    ----------
    device : str or None
    quiet, verbose : bool
    checkpoint_every : str or None
        Steps or time between checkpoints. None: one a minute, removed when the run finishes.
    resume : bool or None
        True: resume the run in the folder, or return its result if it is finished. None: a run that cannot be
        resumed.
    about : dict
        What a resumed run must have in common with its checkpoint, by option.
    usual : dict
        Defaults of these options; a checkpoint that is older than an option counts as having its default.
    tf32 : bool
        Whether the user asked for TF32; it is an error if the run would not use it.
    precision : str
    statistics : bool
        Whether to record the sizes of gradients, weights and updates.
    logs : tuple of str
        Where to record each epoch: jsonl, tensorboard, mlflow.
    out : Path or None
        The folder for ``--out`` in the command that resumes, if it is not the run's own folder.
    given : dict
        What the user set of the experiment's configuration, by option.
    """

    device: str | None
    quiet: bool
    verbose: bool
    checkpoint_every: str | None = None
    resume: bool | None = None
    about: dict[str, Any] = field(default_factory=dict)
    tf32: bool = False
    precision: str = "float32"
    logs: tuple[str, ...] = ()
    out: Path | None = None
    usual: dict[str, Any] = field(default_factory=dict)
    statistics: bool = False
    given: dict[str, Any] = field(default_factory=dict)

    def live(self, folder: Path) -> list[Callback]:
        """Return the callbacks that record each epoch; they write nothing before training.

        Raises
        ------
        MissingLibraryError
            If a library is not installed.
        """
        recorded: list[Callback] = [WeightStatistics()] if self.statistics else []
        if not self.logs:
            return recorded
        from nnx.training.loggers import JSONLog, MLflowLog, TensorBoardLog

        make: dict[str, Callable[[], Callback]] = {
            "jsonl": lambda: JSONLog(folder / LIVE["jsonl"]),
            "tensorboard": lambda: TensorBoardLog(folder / LIVE["tensorboard"]),
            "mlflow": lambda: MLflowLog(folder.resolve().name, parameters=self.about),
        }
        return [*recorded, *(make[name]() for name in dict.fromkeys(self.logs))]

    @classmethod
    def of(cls, device: str | None, config: Any, quiet: bool, verbose: bool, tf32: bool,
           checkpoint_every: str | None = None, resume: bool | None = None, logs: tuple[str, ...] = (),
           statistics: bool = False, **_: Any) -> Options:  # fmt: skip
        """Return the options for an experiment's configuration and the other options of the command."""
        about, usual = identity(config)
        return cls(
            device, quiet, verbose, checkpoint_every, resume, about, tf32, about["precision"], logs,
            statistics=statistics,
            usual=usual | {"precision": config.dtype},  # checkpoints from before that option have its dtype
            given=given(asdict(config), usual),
        )  # fmt: skip

    def checkpoint(self, folder: Path) -> Checkpoint | None:
        """Return the callback that writes checkpoints to a run's folder; None if it cannot be resumed.

        Raises
        ------
        ConfigurationError
            If the time between checkpoints is invalid.
        """
        if self.resume is None:
            return None
        asked = self.checkpoint_every is not None
        if self.resume:  # use the folder that has checkpoints, whatever the options are now
            asked = (folder / CHECKPOINTS).exists() or (asked and not (folder / UNFINISHED).exists())
        if asked:
            every = self.checkpoint_every or "30s"
            found = Checkpoint(folder / CHECKPOINTS, every, resume=self.resume, about=self.about)
        else:
            every = self.checkpoint_every or LONG
            found = Checkpoint(
                folder / UNFINISHED, every, keep=1, best=None, resume=self.resume, about=self.about, wait=LONG
            )
        found.named, found.usual = named, self.usual
        return found


def execute(name: str, job: Callable[..., Any], folder: Path, options: Options) -> Any:
    """Run an experiment, and save its history, model and figures, and last its result.

    A missing device and a folder that cannot be written are reported before the experiment starts.

    Returns
    -------
    Result

    Raises
    ------
    NnxError
        If the run cannot start, or fails.
    """
    began = time.perf_counter()
    require(EXPERIMENTS, "experiments", "an experiment")
    if options.resume and RunFolder.finished(folder):
        found = read_run(folder)
        refuse_others(found, folder, options.given)
        say(f"note: the run in {folder} is finished", options.quiet)
        return found
    RunFolder.refuse_finished(folder)
    backend = _backend(options)
    live = options.live(folder)
    with (
        messages(options.quiet, verbose=False) as shown,
        shown_by(progress.silent if options.quiet else progress.stage),
        nothing_half_written(folder, options.out, options.resume),
        locked(make_folder(folder)),
    ):
        if change := backend_change.note(folder, options.device, backend):
            shown.note(change)
        checkpoint = options.checkpoint(folder)
        kept = RunFolder.create(folder)
        import_seconds = _load_libraries(name)
        ended = progress.Ended(shown.note)
        watching = [] if options.quiet else [progress.Shown()]
        result = job([*watching, ended, *live], **({"checkpoint": checkpoint} if checkpoint else {}))
        result.notes += [*ended.notes, *_notes_on_steps(result)]
        result.config["tf32"] = backend.tf32
        for note in result.notes:
            shown.note(note)
        kept.write_training(result)
        result.artifacts |= {log: place for log, place in LIVE.items() if log in options.logs}
        _draw(result, folder)
        result.timing = {
            **_UNTRAINED,
            "import_seconds": import_seconds,
            **result.timing,
            "total_seconds": _LOADING + time.perf_counter() - began,
        }
        _report(result, folder)
        kept.write(result)
        _remove_unfinished(folder)
    return result


def _backend(options: Options) -> backends.Backend:
    """Return the backend.

    Raises
    ------
    DeviceError
        If the device cannot be used.
    ConfigurationError
        If the user asked for TF32, but the run would not use it.
    """
    with messages(options.quiet, options.verbose):
        backend = backends.resolve(options.device)
    if options.tf32:
        _refuse_without_tf32(backend, options.precision)
    if options.verbose:
        say(f"device: {backend.device} ({backend.name})")
    return backend


def _load_libraries(name: str) -> float:
    """Import the libraries that an experiment needs, so that their import is timed separately.

    Returns
    -------
    float
        The seconds for this and for the start of Python and nnx.
    """
    began = time.perf_counter()
    with stage("loading libraries"):
        for library in ("nnx.reports", *experiments.get(name).libraries):
            importlib.import_module(library)
    return _LOADING + time.perf_counter() - began


def _remove_unfinished(folder: Path) -> None:
    Checkpoint(folder / UNFINISHED).remove()


def _refuse_without_tf32(backend: backends.Backend, precision: str) -> None:
    if precision != "float32":
        raise ConfigurationError(f"--tf32 needs float32, but --precision is {precision}: remove one of them")
    if backend.device == "cpu":
        raise ConfigurationError(
            f"--tf32 needs a GPU, but this run uses cpu ({backend.name}): add --device gpu, or remove --tf32"
        )
    if not backend.tf32:
        raise ConfigurationError(
            f"--tf32 needs a GPU of compute capability 8.0 or newer, and {backend.device} is older: remove "
            "--tf32"
        )


def _notes_on_steps(result: Any) -> list[str]:
    history = result.history
    if history is None:
        return []
    counts = {
        "batches were skipped, because their loss or gradients were not finite": history.left_out,
        "times, training returned to a checkpoint, because a loss or gradient was not finite": (
            history.rollbacks
        ),
    }
    notes = [f"{count} {text}" for text, count in counts.items() if count]
    if history.not_replayed:
        notes.append(f"the steps were launched kernel by kernel, not replayed: {history.not_replayed}")
    return notes


def _draw(result: Any, folder: Path) -> None:
    from nnx import reports

    with stage("drawing figures"):
        reports.draw(result, folder)


def _report(result: Any, folder: Path) -> None:
    from nnx import reports

    with stage("writing the report"):
        reports.report(result, folder)


def refuse_finished(folders: Iterable[Path]) -> None:
    """Check the folders of several runs before the first run starts.

    Raises
    ------
    OutputError
        If a folder already contains a result.
    """
    for folder in folders:
        RunFolder.refuse_finished(folder)


def already_finished(ranks: Communicator, out: Path | None, resume: bool) -> bool:
    """Return whether the run to resume is already finished, as rank 0 sees it. Then no rank trains.

    Every rank must call this, because only rank 0 may be able to see the folder.
    """
    if not resume or ranks.size == 1:
        return False
    found = ranks.rank == 0 and out is not None and RunFolder.finished(out)
    return bool(ranks.gather("finished" if found else "", "the check of the run's folder")[0])


def run_folder(name: str, out: Path | None, resume: bool) -> Path:
    """Return the folder of ``--out``, or create a new folder, which no other run can then take.

    Raises
    ------
    UsageError
        If ``--resume`` is given without ``--out``.
    """
    if resume and out is None:
        raise click.UsageError("--resume needs the folder of the run to resume: add --out FOLDER")
    if out is not None:
        return out
    with recorded() as made:
        folder = new_folder(default_folder(name))
    click.get_current_context().call_on_close(made.undo)  # remove it if it is empty because the run failed
    return folder


def default_folder(name: str) -> Path:
    """Return ``runs/<experiment>-<time>``."""
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
