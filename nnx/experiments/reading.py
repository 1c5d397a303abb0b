"""Read a run's folder: its result and its history. They are checked, because they may come from anywhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from nnx.callbacks import History
from nnx.errors import FileFormatError, shown
from nnx.experiments.result import (
    CHECKED,
    HISTORY_FILE,
    RESULT_FILE,
    RESULT_VERSION,
    STORED,
    Result,
    checksum,
    file_checksum,
)

MAX_BYTES = 2**26  # of one of the two files: a million epochs are 40 MB


def read_run(folder: Path) -> Result:
    """Return the result in a run's folder, with its history, but without its network and arrays.

    Raises
    ------
    FileFormatError
        If the folder holds no result, or one that is damaged or of another version.
    """
    path = folder / RESULT_FILE
    if not path.is_file():
        raise FileFormatError(f"no {RESULT_FILE} in {folder}: give the folder of a finished run")
    try:
        stored = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged ({error}): run the experiment again") from error
    result = _result(stored, path)
    result.checksums = stored.get("checksums", {})  # a run of version 0.1 has none
    _check(result.checksums, stored, folder)
    history = folder / HISTORY_FILE
    if history.is_file():
        result.history = _history(history)
    return result


def _check(sums: Any, stored: dict[str, Any], folder: Path) -> None:
    """Check that the result, and the files that a report takes numbers from, are as they were written."""
    known = isinstance(sums, dict) and sums.keys() <= {RESULT_FILE, *CHECKED}
    if not known or (sums and sums.get(RESULT_FILE) != checksum(stored)):
        raise FileFormatError(
            f"{folder / RESULT_FILE} is damaged (its checksum is another): run it again, or take out its "
            "entry checksums if you changed it yourself"
        )
    for path in (folder / name for name in CHECKED if name in sums):
        try:
            right = not path.is_file() or file_checksum(path) == sums[path.name]
        except OSError as error:
            raise FileFormatError(f"cannot read {path} ({error.strerror or error})") from error
        if not right:
            raise FileFormatError(f"{path} is damaged (its checksum is another): remove it, or run again")


def _text(path: Path) -> str:
    """Return a file's text; refuse a file that is too large before it is read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileFormatError(f"cannot read {path} ({error.strerror or error})") from error
    if len(data) > MAX_BYTES:
        raise FileFormatError(f"{path} holds more than the {MAX_BYTES:,} bytes accepted")
    return data.decode("utf-8")


def _result(stored: Any, path: Path) -> Result:
    if not isinstance(stored, dict) or stored.get("result_version") != RESULT_VERSION:
        found = stored.get("result_version") if isinstance(stored, dict) else type(stored).__name__
        raise FileFormatError(
            f"{path}: version {found!r} of the format, where {RESULT_VERSION} is read: "
            "use the nnx that wrote it"
        )
    stored.setdefault("environment", {"system": "not recorded"})  # of a run before nnx recorded it
    unknown = sorted(stored.keys() - STORED.keys() - {"result_version", "checksums"})
    if unknown:
        raise FileFormatError(f"{path} is damaged (it has an entry {shown(unknown[0])}): run it again")
    for name, kind in STORED.items():
        if not isinstance(stored.get(name), kind):
            raise FileFormatError(f"{path} is damaged ({name} is no {kind.__name__}): run it again")
    return Result(**{name: stored[name] for name in STORED})


def _history(path: Path) -> History:
    history = History()
    try:
        rows = list(csv.reader(io.StringIO(_text(path), newline="")))
        columns = list(zip(*rows[1:], strict=True))
        history.epochs = [int(cell) for cell in columns[0]]
        for name, cells in zip(rows[0][1:], columns[1:], strict=True):
            history.metrics[name] = [float(cell) for cell in cells]
    except (ValueError, IndexError, csv.Error) as error:
        raise FileFormatError(f"{path} is damaged ({error}): remove it, or run again") from error
    return history
