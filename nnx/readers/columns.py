"""Name the columns of a table in messages, refuse columns, and find columns that only count the rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from nnx.errors import DataError, counted, printable
from nnx.readers.cells import TRUTHS
from nnx.readers.form import Reading, find_form
from nnx.readers.tables import Table, read_table
from nnx.readers.types import Array

COUNTING = frozenset(("id", "index", "idx", "row", "rowid", "row_id", "rownames", "nr", "no", "no.", "#"))
INDEX = "only counts or names the rows"
_BY_PANDAS = "Unnamed: "
_LISTED = 10
# Codes for missing values in measured data.
_CODES = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)
_EASY = re.compile(r"[^\W\d][\w .()%/+-]*")  # names that --ignore and a shell take unchanged, in quotes
_DATE = re.compile(r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d\d))([T ]\d{1,2}:\d\d.*)?")
_NO_TARGET = (
    "no --target is given, so this would be an autoencoder; to learn a column, name it, for example --target "
)


def numbers_of_table(file: BinaryIO, name: str, reading: Reading, notes: list[str], max_bytes: int) -> Array:
    """Return all columns of a table except an index as numbers, shape (rows, columns)."""
    check_size(file, name, max_bytes)
    form = find_form(file, name, reading)
    table = read_table(file, name, form, max_bytes=max_bytes, numbers_only=True)
    columns = [at for at in table.chosen if not is_index(table, at)]
    if len(columns) < len(table.chosen):
        note_left_out(table, [at for at in table.chosen if at not in columns], INDEX)
    refuse_texts(table, [at for at in columns if at in table.found], ": all columns must be numbers here")
    refuse_gaps(table, columns, ": fill the cells, or delete the lines")
    notes += table.notes
    return table.of(columns)


def check_size(file: BinaryIO, name: str, max_bytes: int) -> None:
    """Refuse a text file that is too large to be read as a whole."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > max_bytes:
        raise DataError(f"{name}: has {size:,} bytes, more than the {max_bytes:,} accepted")


def note_left_out(table: Table, columns: list[int], why: str) -> None:
    """Add a note about columns that are left out, and why."""
    if columns:
        table.notes.append(f"{table.name}: {listed(table, columns)} {why}, so it is left out")


def is_index(table: Table, column: int) -> bool:
    """Return whether a column only numbers or names the rows: an index of pandas or R, or an id column."""
    if table.columns is None:
        return False
    if is_unnamed(table, column):
        first = column == 0 and (column in table.found or tells_apart(table, column))
        return first or counts_rows(table, column)
    return table.columns[column].lower() in COUNTING and counts_rows(table, column)


def is_unnamed(table: Table, column: int) -> bool:
    """Return whether a column has no name, or the name that pandas gives to unnamed columns."""
    return column in table.unnamed or bool(table.columns and table.columns[column].startswith(_BY_PANDAS))


def tells_apart(table: Table, column: int) -> bool:
    """Return whether a column holds whole numbers, all different, like the index of shuffled rows."""
    numbers = table.of([column])[:, 0]
    return bool((numbers % 1.0 == 0.0).all() and len(np.unique(numbers)) == len(numbers))


def counts_rows(table: Table, column: int) -> bool:
    """Return whether a column holds 0, 1, 2, … or 1, 2, 3, …."""
    if column in table.found or len(table.lines) < 3:
        return False
    numbers = table.of([column])[:, 0]
    return bool(numbers[0] in (0.0, 1.0) and (np.diff(numbers) == 1.0).all())


def listed(table: Table, columns: Sequence[int]) -> str:
    """Return columns as messages list them: ``"column 2 (b), column 5 (c) and 3 more"``."""
    texts = [table.called(column) for column in columns[:_LISTED]]
    return ", ".join(texts) + (f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else "")


def as_option(table: Table, columns: Sequence[int]) -> str:
    """Return columns as ``--ignore`` takes them: by name, or by number if the name is hard to write."""
    names = table.columns or []
    words = [names[at] if names and _is_easy(names[at], names) else str(at + 1) for at in columns]
    text = ",".join(words)
    return text if re.fullmatch(r"[\w,.+/-]*", text) else f'"{text}"'


def _is_easy(name: str, names: Sequence[str]) -> bool:
    """Return whether a name needs no escapes and belongs to only one column."""
    return bool(_EASY.fullmatch(name)) and name == name.strip() and f"{name}.1" not in names


def first_text(table: Table, column: int) -> str:
    """Return where the first text in a column is, and what it is: ``"line 2, column 3 (colour): 'red'"``."""
    found = table.found[column]
    return f"line {found.line}, {table.called(column)}: {printable(found.cell)!r}"


def is_date(table: Table, column: int) -> bool:
    """Return whether the first text in a column is a date."""
    return bool(_DATE.fullmatch(table.found[column].cell))


def mistyped(table: Table, columns: Sequence[int]) -> dict[int, int]:
    """Return the columns with texts in which numbers are the majority, and how many numbers each has."""
    many = {}
    for at in columns:
        numbers = int(np.count_nonzero(~np.isnan(table.of([at]))))
        if table.found[at].cell.lower() in TRUTHS:  # TRUE and FALSE were read as 1 and 0
            numbers -= table.found[at].count
        if numbers > table.found[at].count:
            many[at] = numbers
    return many


def refuse_mistyped(table: Table, columns: Sequence[int]) -> None:
    """Refuse columns of numbers that hold a few texts: these are mistakes, see `mistyped`."""
    many = mistyped(table, columns)
    if not many:
        return
    said, wrong = [], 0
    for at, numbers in many.items():
        count = table.found[at].count
        wrong += count
        more = f", nor {'is' if count == 2 else 'are'} {counted(count - 1, 'more cell')}" if count > 1 else ""
        others = f"the other {numbers:,} cells are" if numbers > 1 else "the other cell is"
        said.append(f"{first_text(table, at)} is not a number{more}, {others}")
    it = "it" if wrong == 1 else "them"
    column = "the column" if len(many) == 1 else "the columns"
    raise DataError(
        f"{table.name}: {_joined(said[:_LISTED], said)}: correct {it}, or empty {it} and add --missing drop, "
        f"or leave {column} out with --ignore {as_option(table, list(many)[:20])}"
    )


def refuse_features(table: Table, texts: Sequence[int], onehot: bool, learn: bool) -> None:
    """Refuse columns of text as features; with `onehot`, refuse only numbers with mistakes in them.

    With `learn`, the message first says how to learn a column, unless all texts are mistakes or dates.
    """
    refused = [] if onehot else texts
    dates = [column for column in refused if is_date(table, column)]
    others = [column for column in refused if column not in dates]
    before = ""
    if learn and not set(others) <= mistyped(table, others).keys():
        before = f"{_NO_TARGET}{as_option(table, others[-1:])}. "  # a target is often the last
    else:
        refuse_mistyped(table, texts)
    if len(refused) == 1 and dates:
        raise DataError(
            f"{table.name}: {first_text(table, dates[0])} is a date: leave it out with --ignore "
            f"{as_option(table, dates)}, or read it with --preset tabular"
        )
    it = "it" if len(refused) == 1 else "them"
    remedy = f": leave {it} out with --ignore {as_option(table, refused[:20])}"
    if dates:
        remedy += f" (dates need --preset tabular: {listed(table, dates)})"
    if others:
        remedy += ", or turn texts into numbers with --categories onehot, or use --preset tabular"
    refuse_texts(table, refused, remedy, before)


def refuse_texts(table: Table, columns: Sequence[int], remedy: str, before: str = "") -> None:
    """Refuse columns that hold texts instead of numbers, in one message from `before` to `remedy`."""
    if not columns:
        return
    said = [first_text(table, at) for at in columns[:_LISTED]]
    if len(columns) == 1:
        raise DataError(f"{before}{table.name}: {said[0]} is not a number{remedy}")
    raise DataError(
        f"{before}{table.name}: {len(columns):,} columns hold text: {_joined(said, columns)}{remedy}"
    )


def _joined(said: Sequence[str], columns: Sequence[object]) -> str:
    more = len(columns) - len(said)
    return "; ".join(said) + (f"; and {more:,} more" if more else "")


def refuse_gaps(table: Table, columns: Sequence[int], remedy: str) -> None:
    """Refuse gaps in these columns, all in one message."""
    if not gaps_in(table, columns).any():
        return
    said = []
    for column in columns:
        gaps = np.flatnonzero(gaps_in(table, [column]))
        if len(gaps):
            more = f" ({len(gaps):,} of {len(table.lines):,} rows)" if len(gaps) > 1 else ""
            said.append(f"line {table.lines[gaps[0]]}, {table.called(column)}{more}")
    if len(said) == 1:
        raise DataError(f"{table.name}: {said[0]}: is empty{remedy}")
    rest = _joined(said[:_LISTED], said)
    raise DataError(f"{table.name}: {len(said):,} columns have empty cells: {rest}{remedy}")


def gaps_in(table: Table, columns: Sequence[int]) -> Array:
    """Return which rows have a gap in one of these columns."""
    numbers = table.of([at for at in columns if at not in table.texts])
    gaps: Array = np.any(np.isnan(numbers), axis=1)
    for column in columns:
        if column in table.texts:
            gaps |= np.array([not cell for cell in table.texts[column]], bool)
    return gaps


def note_codes(table: Table, columns: Sequence[int]) -> None:
    """Add a note about numbers such as -999 that are far from all others in a column: they may mean a gap."""
    at = np.searchsorted(table.chosen, columns)
    for extreme in np.fmin, np.fmax:
        ends = extreme.reduce(table.numbers, axis=0)[at]
        for place in np.flatnonzero(np.isin(ends, _CODES)):
            column, code = columns[int(place)], ends[place]
            numbers = table.of([column])[:, 0]
            others = numbers[(numbers != code) & ~np.isnan(numbers)]
            if len(others) > 1 and np.abs(others - code).min() > np.ptp(others):
                count = np.count_nonzero(numbers == code)
                table.notes.append(
                    f"{table.name}: {table.called(column)} is {code:.0f} in {count:,} rows, far from its "
                    "other values: if it marks missing values, leave those cells empty"
                )
