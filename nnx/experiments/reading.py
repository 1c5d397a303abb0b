"""A run's folder read back: its result and its history, checked as files from anywhere are."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from nnx.callbacks import History
from nnx.errors import FileFormatError
from nnx.experiments.result import HISTORY_FILE, RESULT_FILE, RESULT_VERSION, STORED, Result

MAX_BYTES = 2**26  # of one of the two files: a million epochs are 40 MB


def read_run(folder: Path) -> Result:
    """The result that a run's folder holds, with its history; without its network and arrays.

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
    history = folder / HISTORY_FILE
    if history.is_file():
        result.history = _history(history)
    return result


def _text(path: Path) -> str:
    """A file's text; one that is too large is refused before it is read."""
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
