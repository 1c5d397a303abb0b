"""Write the playground: one HTML file in which a small network trains in the browser, without a server."""

from __future__ import annotations

import base64
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, DataError, counted, nearest
from nnx.libraries import needed
from nnx.pages.put_together import filled
from nnx.readers.arrays import TABLES, load_arrays
from nnx.tables import read_table
from nnx.tables.frame import BOOLEAN, NUMBER, Column, Frame
from nnx.web_pages import page_path, write_page

FILE = "playground.html"
MIN_ROWS, MAX_ROWS, MAX_COLUMNS = 4, 5000, 64
_PARTS = (
    "names", "sets", "table", "problem", "settings", "link", "session", "colours", "diagram", "edges",
    "output", "curves", "weights", "controls", "takeaway", "main",
)  # fmt: skip


def write_playground(
    path: str | os.PathLike[str] = FILE,
    data: str | os.PathLike[str] | None = None,
    target: str | None = None,
    **form: Any,
) -> Path:
    """Write the playground as one HTML file that needs no network and no other file.

    Parameters
    ----------
    path : path-like
        The file.
    data : path-like, optional
        A table (.csv, .tsv, …), or an array of numbers (.npy, .npz), of 2 to 64 columns, to start with. Of a
        table with more than 5,000 rows, the page gets 5,000, chosen at random with seed 0; a warning says so.
    target : str, optional
        The column of `data` to predict, by name or by number from 1. Without it, it is the last column.
    **form
        How a table is written, if that is not found: delimiter, decimal, encoding and header, as for
        `nnx.tables.read_table`.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    ConfigurationError
        If the file's name does not end in .html, or `target` is given without `data` or names no column.
    DataError
        If `data` cannot be read, or has empty cells, too few rows, or too few or too many columns.
    OutputError
        If the file cannot be written.
    """
    place = page_path(path, "the playground")
    if target is not None and data is None:
        raise ConfigurationError("target names a column of data, but no data is given: name the file first")
    table = None if data is None else _table(Path(data), target, form)
    scripts = [f"play/{part}.js" for part in _PARTS]
    text = filled("play/page.html", "play/style.css", scripts, {"digits": _digits(), "table": table})
    return write_page(text, place)


def _digits() -> dict[str, Any]:
    """Return scikit-learn's digits as bytes, training rows first, in the order of `datasets.load_digits`."""
    with needed("datasets", "the playground"):
        from nnx.datasets import load_digits

        digits = load_digits("float64")
    pixels = np.concatenate([digits.x_train, digits.x_test]) * 16
    labels = np.concatenate([digits.y_train, digits.y_test])
    return {"pixels": _bytes(pixels), "labels": _bytes(labels), "train": len(digits.y_train)}


def _bytes(values: Any) -> str:
    return base64.b64encode(np.rint(values).astype(np.uint8).tobytes()).decode()


def _table(path: Path, target: str | None, form: dict[str, Any]) -> dict[str, Any]:
    """Return a table as the page takes it: its columns, each with numbers or texts."""
    frame = _frame(path, form)
    columns = frame.columns
    if not 2 <= len(columns) <= MAX_COLUMNS:
        raise DataError(
            f"{path}: has {counted(len(columns), 'column')}, but the playground takes 2 to {MAX_COLUMNS}: "
            "write a file with fewer columns" if len(columns) > 2 else
            f"{path}: has one column, but the playground takes 2 to {MAX_COLUMNS}"
        )  # fmt: skip
    for column in columns:
        gaps = column.missing()
        if gaps.any():
            more = f" ({gaps.sum():,} of {len(gaps):,} rows)" if gaps.sum() > 1 else ""
            raise DataError(
                f"{path}: {frame.row(int(gaps.argmax()))}, column {column.name!r:.60}: is empty{more}: "
                "fill the cells, or delete the lines"
            )
    rows = len(columns[0].cells)
    if rows < MIN_ROWS:
        raise DataError(f"{path}: has {counted(rows, 'row')}, but the playground needs at least {MIN_ROWS}")
    chosen = _some_rows(path, rows)
    return {
        "name": path.name,
        "target": _place(path, target, [column.name for column in columns]),
        "columns": [_for_page(column, chosen) for column in columns],
    }


def _frame(path: Path, form: dict[str, Any]) -> Frame:
    """Read a table, or the columns of an array."""
    if path.suffix.lower() in TABLES:
        return read_table(path, **form)
    array = load_arrays(path, "float64")
    columns = (Column(f"column {at + 1}", NUMBER, array[:, at]) for at in range(array.shape[1]))
    return Frame(tuple(columns), len(array))


def _some_rows(path: Path, rows: int) -> Any:
    if rows <= MAX_ROWS:
        return np.arange(rows)
    warnings.warn(
        f"{path}: the playground gets {MAX_ROWS:,} of its {rows:,} rows, chosen at random",
        UserWarning,
        stacklevel=4,
    )
    return np.sort(np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False))


def _place(path: Path, target: str | None, names: list[str]) -> int:
    """Return the number of the target's column, from 0."""
    if target is None:
        return len(names) - 1
    if target in names:
        return names.index(target)
    if target.isdecimal() and 1 <= int(target) <= len(names):
        return int(target) - 1
    raise ConfigurationError(f"{path}: has no column {target!r:.60}{nearest(target, names)}")


def _for_page(column: Column, rows: Any) -> dict[str, Any]:
    cells = column.cells[rows]
    if column.type in (NUMBER, BOOLEAN):
        return {"name": column.name, "numbers": cells.tolist()}
    return {"name": column.name, "texts": [str(cell) for cell in cells]}
