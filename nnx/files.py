"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnx.errors import OutputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`: write there; on leaving, it and its name are flushed to the disk.

    A reader never meets half a file, and a failure leaves an older one as it was.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {target} ({error.strerror or error}): choose a folder that can be written"
        ) from error
    finally:
        with suppress(OSError):  # where the folder itself is missing there is nothing to remove
            temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """See that a name that was given or taken away stays so if the machine fails."""
    if os.name != "posix":
        return  # a folder cannot be opened there, nor need it be
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder `path`, made with its parents where it is missing.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder} ({error.strerror or error}): choose one that can be written"
        ) from error
    return folder
