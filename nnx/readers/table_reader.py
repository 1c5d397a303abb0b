"""Read the rows of a text table in order, and find its columns by name or number."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from nnx.errors import ConfigurationError, DataError, nearest, shown
from nnx.readers.form import OPEN_QUOTE, Form, reader_of
from nnx.readers.headers import COMMENTS


class TableReader:
    """Iterate over the rows of a table that is written in a given form.

    Attributes
    ----------
    columns : list of str or None
        The names of the columns. Repeated names get ``.1``, ``.2``, … at the end, as in pandas. A column
        without a name is called by its number.
    """

    def __init__(self, file: BinaryIO, name: str, form: Form) -> None:
        self.name, self.form = name, form
        self._reader = reader_of(file, name, self.form)
        self.width = self.form.head.width
        heads = self.form.head.columns
        self.columns = None if heads is None else _unlike(heads)
        self.unnamed = {place for place, head in enumerate(heads or ()) if not head}
        self.line = 0  # the line that was read last, from 1
        described = self.form.described()
        self.notes = [f"{name}: {described}"] if described else []
        self.twice = {head for head, times in Counter(heads or ()).items() if head and times > 1}
        if self.twice:
            again = shown(min(self.twice))
            self.notes.append(f"{name}: several columns are called {again!r}; the second is now {again}.1")

    def __iter__(self) -> Iterator[list[str]]:
        skipped = self.line = self.form.head.lines
        try:
            for row in self._reader:
                self.line = skipped + self._reader.line_num
                if not any(map(str.strip, row)):
                    continue
                if len(row) != self.width:
                    if row[0].startswith(COMMENTS):
                        continue
                    raise DataError(
                        f"{self.name}: line {self.line} has {len(row)} columns, the other lines have "
                        f"{self.width}"
                    )
                yield row
        except csv.Error as error:
            raise DataError(f"{self.name}: line {self.line + 1}: {_csv_fault(error)}") from error

    def places(self, given: Sequence[str]) -> list[int]:
        """Return the positions, from 0, of columns that are given by name or number (from 1; -1 is the last).

        A text that is not a name may hold several names or numbers with commas between them, see `parts_of`.
        """
        known = self.columns or ()
        names = [name for text in given for name in ([text] if text in known else parts_of(text))]
        if found := self.twice.intersection(names):
            raise ConfigurationError(
                f"{self.name}: several columns are called {min(found)!r}: give its number, or rename one"
            )
        return [position(name, self.columns, self.width, self.name) for name in names]


def parts_of(text: str) -> list[str]:
    r"""Split ``a,b`` into names of columns; a name with a comma is written ``"a, b"`` or ``a\, b``."""
    try:
        (row,) = csv.reader([text], skipinitialspace=True, escapechar="\\", strict=True)
    except (csv.Error, ValueError):
        return [text]
    return [cell.strip() for cell in row]


def _csv_fault(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return OPEN_QUOTE
    if "expected after" in text:
        return "a quote closes inside a cell: write each quote inside a quoted cell twice"
    return text


def _unlike(heads: Sequence[str]) -> list[str]:
    """Return names for the columns that are all different."""
    given, used, times = set(heads), set[str](), Counter[str]()
    names = []
    for place, head in enumerate(heads, 1):
        name = base = head or f"column {place}"
        while name in used or (name != head and name in given):
            times[base] += 1
            name = f"{base}.{times[base]}"
        used.add(name)
        names.append(name)
    return names


def called(index: int, columns: Sequence[str] | None) -> str:
    """Return a column as messages call it: ``"column 3 (age)"``."""
    return f"column {index + 1}" + (f" ({shown(columns[index])})" if columns else "")


def position(column: str, columns: Sequence[str] | None, width: int, name: str) -> int:
    """Return the position, from 0, of a column that is given by name or number; see `TableReader.places`."""
    if columns is not None and column in columns:
        return list(columns).index(column)
    try:
        number = int(column)
    except ValueError:
        if columns is None:
            raise ConfigurationError(
                f"{name}: its columns have no names, so there is no column {column!r}: "
                f"give a number from 1 to {width}, or -1 for the last"
            ) from None
        raise ConfigurationError(
            f"{name}: has no column {shown(column)!r}{nearest(column, columns[:100])}"
        ) from None
    if not (1 <= number <= width or -width <= number <= -1):
        raise ConfigurationError(
            f"{name}: has no column {number}: give a number from 1 to {width}, or -1 for the last"
        )
    return number - 1 if number > 0 else width + number
