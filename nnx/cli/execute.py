"""One experiment from its configuration to a complete folder, or to no folder."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from nnx import backends, experiments
from nnx.callbacks import Callback
from nnx.checkpoints import Checkpoint
from nnx.cli import backend_change, progress
from nnx.cli.console import messages, say
from nnx.cli.given import given, named, refuse_others
from nnx.distributed import Communicator, joined
from nnx.errors import ConfigurationError, NnxError, OutputError
from nnx.experiments import RunFolder
from nnx.experiments.reading import read_run
from nnx.experiments.result import MODEL_FILE
from nnx.experiments.stages import shown_by, stage
from nnx.files import locked, make_folder, new_folder, recorded
from nnx.libraries import EXPERIMENTS, require

CHECKPOINTS = "checkpoints"  # within a run's folder: those that --checkpoint-every asks for
UNFINISHED = (
    "unfinished"  # likewise: those of every run that trains for longer than this, until it has finished
)
LONG = "1m"
LIVE = {"jsonl": "history.jsonl", "tensorboard": "tensorboard"}  # likewise: who is told of epochs there

# The processor time used so far is what starting Python and loading NumPy and nnx took: part of every run.
_LOADING = time.process_time()

# The entries of a result's timing where an experiment says nothing of them: it trained nothing itself.
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
    """How a run is run.

    Attributes
    ----------
    device : str or None
    quiet, verbose : bool
    checkpoint_every : str or None
        Steps or time between checkpoints; None takes one a minute, and removes it once the run has finished.
    resume : bool or None
        Resume the run in the folder; one that is finished gives its result again. None for a run that cannot
        be resumed.
    about : dict
        What a resumed run must have in common with its checkpoint, by option.
    usual : dict
        Their defaults: options that are newer than a checkpoint must have them.
    tf32 : bool
        TF32 was asked for, and the run is refused where it would not be used.
    dtype : str
    logs : tuple of str
        Who else is told of each epoch: jsonl, tensorboard, mlflow.
    out : Path or None
        The folder that ``--out`` names or would name, where it is not the run's own.
    given : dict
        What the user gave of the experiment's configuration, by option.
    """

    device: str | None
    quiet: bool
    verbose: bool
    checkpoint_every: str | None = None
    resume: bool | None = None
    about: dict[str, Any] = field(default_factory=dict)
    tf32: bool = False
    dtype: str = "float32"
    logs: tuple[str, ...] = ()
    out: Path | None = None
    usual: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)

    def live(self, folder: Path) -> list[Callback]:
        """The callbacks that tell of each epoch; nothing is written before training.

        Raises
        ------
        MissingLibraryError
            If the library of one is not installed.
        """
        if not self.logs:
            return []
        from nnx.training.loggers import JSONLog, MLflowLog, TensorBoardLog

        make: dict[str, Callable[[], Callback]] = {
            "jsonl": lambda: JSONLog(folder / LIVE["jsonl"]),
            "tensorboard": lambda: TensorBoardLog(folder / LIVE["tensorboard"]),
            "mlflow": lambda: MLflowLog(folder.resolve().name, parameters=self.about),
        }
        return [make[name]() for name in dict.fromkeys(self.logs)]

    @classmethod
    def of(cls, device: str | None, config: Any, quiet: bool, verbose: bool, tf32: bool,
           checkpoint_every: str | None = None, resume: bool | None = None, logs: tuple[str, ...] = (),
           **_: Any) -> Options:  # fmt: skip
        """Those of a command line, with an experiment's configuration."""
        about = {name: value for name, value in asdict(config).items() if name not in ("device", "epochs")}
        usual = {entry.name: entry.default for entry in fields(config) if entry.default is not MISSING}
        return cls(
            device, quiet, verbose, checkpoint_every, resume, about, tf32, config.dtype, logs, usual=usual,
            given=given(asdict(config), usual),
        )  # fmt: skip

    def checkpoint(self, folder: Path) -> Checkpoint | None:
        """What writes checkpoints into a run's folder; None for a run that cannot be resumed.

        Raises
        ------
        ConfigurationError
            If the time between them makes no sense.
        """
        if self.resume is None:
            return None
        asked = self.checkpoint_every is not None
        if self.resume:  # where the run's checkpoints are, however it is resumed
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
    """Run an experiment, keep its history and model, draw it, and write its result last.

    What can be refused is refused first: a device that is absent, a folder that cannot be written.

    Returns
    -------
    Result
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
        _nothing_half_written(folder, options),
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
        result.notes += [*ended.notes, *_faults_survived(result)]
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
    """The backend that computes.

    Raises
    ------
    DeviceError
        If the device cannot be used.
    ConfigurationError
        If TF32 is asked for where it would not be used.
    """
    with messages(options.quiet, options.verbose):
        backend = backends.resolve(options.device)
    if options.tf32:
        _refuse_without_tf32(backend, options.dtype)
    if options.verbose:
        say(f"device: {backend.device} ({backend.name})")
    return backend


def _load_libraries(name: str) -> float:
    """Load what an experiment needs later, so that it is timed as import and as nothing else.

    Returns
    -------
    float
        The seconds that it took, with those of starting Python and nnx.
    """
    began = time.perf_counter()
    with stage("loading libraries"):
        for library in ("nnx.reports", *experiments.get(name).libraries):
            importlib.import_module(library)
    return _LOADING + time.perf_counter() - began


def _remove_unfinished(folder: Path) -> None:
    """Remove the checkpoints that nobody asked for: the run has finished, or would fail again."""
    Checkpoint(folder / UNFINISHED).remove()


def _refuse_without_tf32(backend: backends.Backend, dtype: str) -> None:
    if dtype != "float32":
        raise ConfigurationError(f"--tf32 is for float32, and this run computes in {dtype}: leave one out")
    if backend.device == "cpu":
        raise ConfigurationError(
            f"--tf32 is for products on a GPU, and this run is on cpu ({backend.name}): "
            "add --device gpu, or leave it out"
        )
    if not backend.tf32:
        raise ConfigurationError(
            f"{backend.device} has no TF32, which came with compute capability 8.0: leave --tf32 out"
        )


def _faults_survived(result: Any) -> list[str]:
    history = result.history
    if history is None:
        return []
    told = {
        "batches were left out, as their loss or gradients were not finite": history.left_out,
        "times training went back to a checkpoint, as a loss or gradient was not finite": history.rollbacks,
    }
    return [f"{count} {text}" for text, count in told.items() if count]


def _draw(result: Any, folder: Path) -> None:
    from nnx import reports

    with stage("drawing figures"):
        reports.draw(result, folder)


def _report(result: Any, folder: Path) -> None:
    from nnx import reports

    with stage("writing the report"):
        reports.report(result, folder)


def refuse_finished(folders: Iterable[Path]) -> None:
    """See before the first of several runs that none would be refused for its folder after the others.

    Raises
    ------
    OutputError
        If a folder holds a result already.
    """
    for folder in folders:
        RunFolder.refuse_finished(folder)


def already_finished(ranks: Communicator, out: Path | None, resume: bool) -> bool:
    """Whether the first rank finds a run that is to be resumed finished: then no rank trains.

    All ranks must ask: only the first may see the folder.
    """
    if not resume or ranks.size == 1:
        return False
    found = ranks.rank == 0 and out is not None and RunFolder.finished(out)
    return bool(ranks.gather("finished" if found else "", "the look at the run's folder")[0])


def run_folder(name: str, out: Path | None, resume: bool) -> Path:
    """The folder of ``--out``, or a new one, which is made: no other run can take it.

    Raises
    ------
    UsageError
        If a run is to be resumed, and it is not said which.
    """
    if resume and out is None:
        raise click.UsageError("--resume needs the folder of the run that it resumes: add --out FOLDER")
    if out is not None:
        return out
    with recorded() as made:
        folder = new_folder(default_folder(name))
    click.get_current_context().call_on_close(made.undo)  # removes it where it is empty: the run failed
    return folder


def default_folder(name: str) -> Path:
    """``runs/<experiment>-<time>``; a number follows where that is taken."""
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextmanager
def _nothing_half_written(folder: Path, options: Options) -> Iterator[None]:
    """Where a run fails, remove what it wrote, unless a trained model or a checkpoint is there; nothing else.

    An interrupted run says what is kept, and how to resume it.
    """
    with recorded() as made:
        try:
            yield
        except BaseException as error:
            refused = isinstance(error, NnxError) and not isinstance(error, OutputError)  # it would be again
            if refused and not options.resume:
                made.undo(folder / UNFINISHED)
            if kept := _checkpoints(folder):
                if not refused:
                    _say_how_to_resume(folder, kept[0], options)
            elif folder / MODEL_FILE in made:
                say(f"the trained model is kept in {folder}")
            else:
                made.undo()
                if not isinstance(error, Exception):
                    _say_what_else_is_kept(options)
            raise


def _checkpoints(folder: Path) -> list[tuple[int, int]]:
    """The fits and steps of a run's checkpoints, the newest first."""
    from nnx.training.checkpoints.store import fits_and_steps

    with suppress(NnxError):  # a folder that cannot be read: who knows what is in it
        return fits_and_steps(folder / CHECKPOINTS) or fits_and_steps(folder / UNFINISHED)
    return []


def _say_how_to_resume(folder: Path, newest: tuple[int, int], options: Options) -> None:
    """Name what is kept of a run that was stopped, and the command that resumes it."""
    fit, step = newest
    kept = f"{'training' if fit == 1 else f'training {fit}'} is kept up to step {step:,}"
    say(f"{kept}, in {folder}; to resume: {_resuming(options.out or folder)}")


def _resuming(folder: Path) -> str:
    """The command that was given, as it must be given to resume."""
    arguments = [word for word in sys.argv[1:] if word != "--resume"]
    if not any(word.split("=")[0] == "--out" for word in arguments):
        arguments += ["--out", str(folder)]
    command = " ".join(["nnx", *map(_quoted, arguments), "--resume"])
    return f"mpiexec -n {joined().size} {command}" if joined().size > 1 else command


def _quoted(word: str) -> str:
    """A word as a shell takes it; with bytes that are no text, as bash and zsh write them."""
    if word.isprintable():
        return shlex.quote(word)
    letters = (chr(b) if b < 128 and chr(b).isalnum() else f"\\x{b:02x}" for b in os.fsencode(word))
    return f"$'{''.join(letters)}'"


def _say_what_else_is_kept(options: Options) -> None:
    """After an interrupt of a run of which nothing is kept."""
    if options.out is not None and any(options.out.glob("*/result.json")):
        say(f"the runs that have finished are kept, in {options.out}; to resume: {_resuming(options.out)}")
    elif options.resume is not None:
        say("nothing is kept: a run is kept from its first minute of training on, or by --checkpoint-every")
    else:
        say("nothing is kept of this run")
