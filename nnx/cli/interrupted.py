"""What a run leaves that fails or is interrupted, and the command that resumes it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.cli.console import say
from nnx.distributed import joined
from nnx.errors import NnxError, OutputError
from nnx.experiments.result import MODEL_FILE
from nnx.files import recorded

# names in a run's folder
CHECKPOINTS = "checkpoints"  # checkpoints from --checkpoint-every
UNFINISHED = "unfinished"  # checkpoints without that option; removed when the run finishes


@contextmanager
def nothing_half_written(folder: Path, out: Path | None, resume: bool | None) -> Iterator[None]:
    """If a run fails, remove what it wrote, unless it has a trained model or a checkpoint.

    After an interrupt, print what was saved, and the command that resumes the run.

    Parameters
    ----------
    folder : Path
        The run's folder.
    out : Path or None
        The folder for ``--out`` in that command, if it is not the run's own folder.
    resume : bool or None
        Whether this run resumes another one. None: a run that cannot be resumed.
    """
    with recorded() as made:
        try:
            yield
        except BaseException as error:
            refused = isinstance(error, NnxError) and not isinstance(error, OutputError)  # would fail again
            if refused and not resume:
                made.undo(folder / UNFINISHED)
            if kept := _checkpoints(folder):
                if not refused:
                    _say_how_to_resume(folder, kept[0], out or folder)
            elif folder / MODEL_FILE in made:
                say(f"the trained model is saved in {folder}")
            else:
                made.undo()
                if not isinstance(error, Exception):
                    _say_what_is_saved(out, resume)
            raise


def _checkpoints(folder: Path) -> list[tuple[int, int]]:
    """Return the fit and the step of each checkpoint of a run, newest first."""
    from nnx.training.checkpoints.store import fits_and_steps

    with suppress(NnxError):  # the folder cannot be read
        return fits_and_steps(folder / CHECKPOINTS) or fits_and_steps(folder / UNFINISHED)
    return []


def _say_how_to_resume(folder: Path, newest: tuple[int, int], out: Path) -> None:
    """Print what was saved of a run that was stopped, and the command that resumes it."""
    fit, step = newest
    saved = f"{'training' if fit == 1 else f'training {fit}'} is saved up to step {step:,}"
    say(f"{saved}, in {folder}; to resume: {_resuming(out)}")


def _resuming(folder: Path) -> str:
    """Return the command that resumes the run: the command that started it, with ``--resume``."""
    arguments = [word for word in sys.argv[1:] if word != "--resume"]
    if not any(word.split("=")[0] == "--out" for word in arguments):
        arguments += ["--out", str(folder)]
    command = " ".join(["nnx", *map(_quoted, arguments), "--resume"])
    return f"mpiexec -n {joined().size} {command}" if joined().size > 1 else command


def _quoted(word: str) -> str:
    """Quote a word for the shell; bytes that are not text in the form of bash and zsh."""
    if word.isprintable():
        return shlex.quote(word)
    letters = (chr(b) if b < 128 and chr(b).isalnum() else f"\\x{b:02x}" for b in os.fsencode(word))
    return f"$'{''.join(letters)}'"


def _say_what_is_saved(out: Path | None, resume: bool | None) -> None:
    """Print what exists after an interrupt of a run without a checkpoint."""
    if out is not None and any(out.glob("*/result.json")):
        say(f"the finished runs are saved in {out}; to resume: {_resuming(out)}")
    elif resume is not None:
        say(
            "nothing was saved: checkpoints start after a minute of training, or earlier with "
            "--checkpoint-every"
        )
    else:
        say("nothing of this run was saved")
