"""A folder of checkpoints: their names, the newest that is intact, which are kept."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnx.checkpoints import models
from nnx.checkpoints.state import Arrays
from nnx.errors import FileFormatError, OutputError
from nnx.files import clear, flush_folder, locked, make_folder

logger = logging.getLogger("nnx.checkpoints")
NAME = re.compile(r"fit-(\d+)-step-(\d+)\.safetensors")
Read = tuple[Arrays, Arrays, dict[str, Any]]


class Store:
    """The checkpoints of one run, which may be several fits one after the other.

    Attributes
    ----------
    folder : Path
    keep : int
        So many of the newest of a fit stay, and of a fit before it one.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the folder to oneself, without what a run that was killed had not finished writing."""
        with locked(make_folder(self.folder)):
            clear(self.folder)
            yield

    def path(self, fit: int, step: int) -> Path:
        """Where the checkpoint of a fit's step lies."""
        return self.folder / f"fit-{fit}-step-{step}.safetensors"

    def found(self, fit: int | None = None) -> list[Path]:
        """The checkpoints of a fit, or of all, the newest first."""
        names = [NAME.fullmatch(path.name) for path in self.folder.glob("fit-*")]
        numbers = sorted(((int(n[1]), int(n[2])) for n in names if n), reverse=True)
        return [self.path(*number) for number in numbers if fit in (None, number[0])]

    def newest(self, fit: int) -> tuple[Path, Read] | None:
        """The newest checkpoint of a fit that is intact, if there is any; damaged ones are put aside.

        Raises
        ------
        FileFormatError
            If there are checkpoints, but none is intact.
        """
        paths = self.found(fit)
        for path in paths:
            try:
                return path, models.read_training(path)
            except FileFormatError as error:
                logger.warning("%s: the checkpoint before it is taken", error)
                path.replace(path.with_name(f"{path.name}.damaged"))
        if paths:
            raise FileFormatError(
                f"none of the {len(paths)} checkpoints in {self.folder} is intact: begin in another folder"
            )
        return None

    def prune(self, fit: int, best: str) -> None:
        """Remove what is neither among the newest nor the best."""
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
            raise OutputError(f"cannot remove an older checkpoint ({error.strerror or error})") from error
