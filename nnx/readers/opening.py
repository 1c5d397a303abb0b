"""Opening the user's files: regular ones only, so that none can hang a program or never end."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nnx.errors import DataError, NnxError


@contextmanager
def reading(path: str | Path) -> Iterator[BinaryIO]:
    """A file, open for reading; what the system refuses is said of `path`, within the block too.

    Raises
    ------
    DataError
        If it cannot be read, or is a folder, a pipe or a device.
    """
    if "\0" in str(path):
        raise DataError(f"{str(path)!r}: cannot be read (a path holds no null byte)")
    try:
        kind = Path(path).stat().st_mode
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device: save it as a file first"
            raise DataError(f"{path}: cannot be read (it is {what})")
        with Path(path).open("rb") as file:
            yield file
    except NnxError:  # an OutputError is an OSError too
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
