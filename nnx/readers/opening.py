"""Open the user's files: only regular files, because a pipe or a device may block or never end."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nnx.errors import DataError, NnxError


@contextmanager
def reading(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; errors of the system, also inside the block, become a DataError."""
    if "\0" in str(path):
        raise DataError(f"{str(path)!r}: cannot be read (a path must not hold a null byte)")
    try:
        kind = Path(path).stat().st_mode
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device: save it as a file first"
            raise DataError(f"{path}: cannot be read (it is {what})")
        with Path(path).open("rb") as file:
            yield file
    except NnxError:  # some are OSErrors too, such as OutputError
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
