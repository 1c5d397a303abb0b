"""Read a text file as a table with columns of any kind."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnx.readers.columns import INDEX, check_size, is_index, note_codes
from nnx.readers.form import Reading, find_form
from nnx.readers.idx import MAX_BYTES
from nnx.readers.opening import reading
from nnx.readers.table_reader import TableReader
from nnx.readers.tables import Table, read_mixed
from nnx.tables.frame import BOOLEAN, NUMBER, TEXT, Column, Frame


def read_table(
    path: str | Path,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    header: str = "auto",
    texts: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
) -> Frame:
    """Read a text table (.csv, .tsv, .txt, …) for `TableEncoder`.

    Delimiter, decimal mark, encoding, a title, and the line with the names of the columns are found from the
    file, and can be given. A warning says what was found, if it is unusual. A first column that only counts
    the rows is left out, and so is a last line of totals.

    Parameters
    ----------
    path : str or Path
    delimiter : str, optional
        A character, or comma, semicolon, tab, pipe or space.
    decimal : {".", ","}, optional
    encoding : str, optional
        Python's name of the encoding.
    header : {"auto", "yes", "no"}
        Whether a line before the first row has the names of the columns.
    texts : sequence of str
        Columns, by name or number from 1, that are read as texts although they may hold numbers, so that 007
        stays 007.
    max_bytes : int, default 2**30
        Largest file accepted.

    Raises
    ------
    DataError
        If the file cannot be read; the text names line and column.
    ConfigurationError
        If it can be read in two ways; the text says which option decides.
    """
    how = Reading(delimiter, decimal, encoding, header)
    name = str(path)
    with reading(path) as file:
        check_size(file, name, max_bytes)
        form = find_form(file, name, how, texts, several=bool(texts))
        places = TableReader(file, name, form).places(texts)
        table = read_mixed(file, name, form, places, max_bytes=max_bytes)
    index = [column for column in table.chosen if is_index(table, column)]
    kept = [column for column in range(table.width) if column not in index]
    if index and kept:
        table.notes.append(f"{name}: {table.called(index[0])} {INDEX}, so it is left out")
    note_codes(table, [column for column in kept if column not in table.texts])
    for note in table.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return frame_of_columns(table, kept or index)


def frame_of_columns(table: Table, places: Sequence[int], names: Sequence[str] = ()) -> Frame:
    """Return columns of a table that was read, in this order.

    Parameters
    ----------
    names : sequence of str, optional
        Their names, if they have others than in the table.
    """
    own = [table.columns[at] if table.columns else f"column {at + 1}" for at in places]
    columns = tuple(_column(table, at, name) for at, name in zip(places, names or own, strict=True))
    lines = table.lines
    named = bool(names) or table.columns is not None
    return Frame(columns, len(lines), named, table.name, lambda row: f"line {lines[row]}")


def _column(table: Table, place: int, name: str) -> Column:
    if place not in table.texts:
        return Column(name, BOOLEAN if place in table.truths else NUMBER, table.of([place])[:, 0])
    cells = np.empty(len(table.lines), object)
    cells[:] = [cell or None for cell in table.texts[place]]
    return Column(name, TEXT, cells)
