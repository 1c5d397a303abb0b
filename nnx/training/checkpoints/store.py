"""Manage a folder of checkpoints: their names, the newest intact one, and which ones are kept."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nnx import model_files
from nnx.errors import FileFormatError, OutputError
from nnx.files import clear, flush_folder, locked, make_folder
from nnx.training.checkpoints.state import Arrays

logger = logging.getLogger("nnx.checkpoints")
NAME = re.compile(r"fit-(\d+)-step-(\d+)\.safetensors")
DAMAGED = ".damaged"  # added to the name of a damaged checkpoint
Read = tuple[Arrays, Arrays, dict[str, Any]]


def fits_and_steps(folder: Path) -> list[tuple[int, int]]:
    """Return the fit and the step of each checkpoint in a folder, read from the file names, newest first.

    Raises
    ------
    FileFormatError
        If the folder cannot be read.
    """
    names = [NAME.fullmatch(name) for name in _names(folder)]
    return sorted(((int(name[1]), int(name[2])) for name in names if name), reverse=True)


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileFormatError(
            f"cannot read the folder {folder} ({error.strerror or error}): check its permissions"
        ) from error


class Store:
    """The checkpoints of one run. A run may consist of several fits, one after the other.

    Attributes
    ----------
    folder : Path
    keep : int
        How many of the newest checkpoints of the current fit stay. Of each earlier fit, the newest stays.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this run, and remove the unfinished files of killed runs."""
        with locked(make_folder(self.folder)):
            clear(self.folder)
            yield

    def path(self, fit: int, step: int) -> Path:
        """Return the file of the checkpoint for a step of a fit."""
        return self.folder / f"fit-{fit}-step-{step}.safetensors"

    def found(self, fit: int | None = None) -> list[Path]:
        """Return the checkpoints of a fit, or of all fits, newest first."""
        return [self.path(*both) for both in fits_and_steps(self.folder) if fit in (None, both[0])]

    def newest(self, fit: int) -> tuple[Path, Read] | None:
        """Return the newest intact checkpoint of a fit, or None if the fit has none; rename damaged ones.

        A file that cannot be read now may still be intact. It keeps its name, and the fit does not start
        over.

        Raises
        ------
        FileFormatError
            If there are checkpoints but none is intact, or if the newest one cannot be read.
        OutOfMemoryError
            If there is too little memory to read it.
        """
        for path in self.found(fit):
            try:
                return path, model_files.read_training(path)
            except model_files.DamagedError as error:
                logger.warning("%s: trying the checkpoint before it", error)
                self._put_aside(path)
        damaged = [name for name in _names(self.folder) if name.startswith(f"fit-{fit}-") and DAMAGED in name]
        if damaged:
            raise FileFormatError(
                f"all {len(damaged)} checkpoints in {self.folder} are damaged: start again in another folder"
            )
        return None

    def _put_aside(self, path: Path) -> None:
        for number in itertools.count(1):
            aside = path.with_name(f"{path.name}{DAMAGED}{f'-{number}' if number > 1 else ''}")
            if not os.path.lexists(aside):
                path.replace(aside)
                return

    def remove(self) -> None:
        """Remove all checkpoints, and the folder if it is then empty."""
        with suppress(OSError):  # they stay if the folder can no longer be written
            for path in self.found():
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def prune(self, fit: int, best: str) -> None:
        """Remove the checkpoints that are neither among the newest nor the best."""
        kept = self.found(fit)[: self.keep]
        for earlier in range(1, fit):
            kept += self.found(earlier)[:1]
        gone = [path for path in self.found() if path not in kept and path.name != best]
        try:
            for path in gone:
                path.unlink(missing_ok=True)
            if gone:
                flush_folder(self.folder)
        except OSError as error:
            raise OutputError(
                f"cannot remove an older checkpoint ({error.strerror or error}): check its permissions"
            ) from error
