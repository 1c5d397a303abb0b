"""Comma-separated tables: numbers, and columns of text where a caller asks for them."""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from nnx.datasets.base import Array
from nnx.datasets.idx import MAX_BYTES
from nnx.errors import ConfigurationError, DataError, nearest, shown

MAX_LINE = 2**22  # characters: what one line may hold, its columns' names too
MAX_LABELS = 2**16  # different texts in one column: more are no classes


@dataclass(eq=False)
class Table:
    """A table taken apart by columns.

    Attributes
    ----------
    name : str
        What an error calls it.
    columns : list of str or None
        The names in its first line, if it has one.
    width : int
        How many columns the file has.
    numbers : array
        Shape (rows, columns that were read as numbers), float64, finite.
    chosen : list of int
        Which columns those are.
    texts : dict of int to list of str
        The columns that were asked for as text, stripped.
    lines : array of int
        Of each row: the line where it ends in the file, from 1.
    """

    name: str
    columns: list[str] | None
    width: int
    numbers: Array
    chosen: list[int]
    texts: dict[int, list[str]] = field(default_factory=dict)
    lines: Array = field(default_factory=lambda: np.empty(0, np.int64))

    def of(self, places: Sequence[int]) -> Array:
        """The numbers in these columns of the file, in this order."""
        columns: Array = self.numbers[:, np.searchsorted(self.chosen, places)]
        return columns

    def apart(self, places: Sequence[int]) -> tuple[str, ...] | None:
        """The names of these columns, where there are any and they tell these apart from all others."""
        times = Counter(self.columns or ())
        named = tuple(self.columns[index] for index in places) if self.columns else ()
        return named if named and all(times[name] == 1 for name in named) else None


class NotANumberError(DataError):
    """A cell that is none, where numbers were asked for; `column` counts from 0."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(text)
        self.column = column


class TableReader:
    """The rows of a table, one after the other, with the width of the first and its names, if it has any.

    The first line holds names if none of its cells is a number, or if one of its cells is among the columns
    that are `wanted` by their names. Those that are `named` may be meant as numbers of columns: one that is a
    number shows nothing, for it may stand in a line of data as well, unless the line is 0, 1, 2, … as pandas
    writes it where columns have no names.
    """

    def __init__(
        self, file: BinaryIO, name: str, named: Sequence[str] = (), wanted: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._reader = csv.reader(_lines(file, name), skipinitialspace=True)
        self._rows = self._read()
        first = next(self._rows, None)
        if first is None:
            raise DataError(f"{name}: holds no rows of numbers")
        self.width = len(first)
        self.columns: list[str] | None = None
        self._first: list[str] | None = first
        cells = [cell.strip() for cell in first]
        counted = cells == [str(place) for place in range(self.width)]
        shown = {*wanted, *(column for column in named if counted or not is_number(column))}
        if not any(map(is_number, cells)) or shown & set(cells):
            self.columns, self._first = cells, None
            twice = {cell for cell, times in Counter(cells).items() if times > 1} & {*named, *wanted}
            if twice:
                raise DataError(f"{name}: two columns are called {sorted(twice)[0]!r}")

    def __iter__(self) -> Iterator[list[str]]:
        if self._first is not None:
            yield self._first
        yield from self._rows

    @property
    def line(self) -> int:
        """The line that was read last, from 1."""
        return self._reader.line_num

    def _read(self) -> Iterator[list[str]]:
        width = 0
        try:
            for row in self._reader:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue
                width = width or len(row)
                if len(row) != width:
                    raise DataError(
                        f"{self.name}: line {self.line} has {len(row)} columns, "
                        f"the lines above it have {width}"
                    )
                yield row
        except csv.Error as error:
            raise DataError(f"{self.name}: line {self.line}: {error}") from error

    def position(self, column: str | int) -> int:
        """Where a column is, from 0, by its name or its number (from 1; -1 is the last); an int is its place.

        Raises
        ------
        ConfigurationError
            If there is none; the text names the nearest.
        """
        return column if isinstance(column, int) else position(column, self.columns, self.width, self.name)

    def called(self, index: int) -> str:
        """``"column 3 (age)"``."""
        return f"column {index + 1}" + (f" ({shown(self.columns[index])})" if self.columns else "")


def position(column: str, columns: Sequence[str] | None, width: int, name: str) -> int:
    """As `TableReader.position`, for any table of that width and names."""
    if columns is not None and column in columns:
        return list(columns).index(column)
    try:
        number = int(column)
    except ValueError:
        if columns is None:
            raise ConfigurationError(
                f"{name}: has no names of columns, so {column!r} names none: "
                f"give a number from 1 to {width}, or -1 for the last"
            ) from None
        raise ConfigurationError(
            f"{name}: has no column {column!r}{nearest(column, columns[:100])}"
        ) from None
    if not (1 <= number <= width or -width <= number <= -1):
        raise ConfigurationError(
            f"{name}: has no column {number}: columns count from 1 to {width}, and -1 is the last"
        )
    return number - 1 if number > 0 else width + number


def read_table(
    file: BinaryIO,
    name: str,
    texts: Sequence[str] = (),
    ignore: Sequence[str | int] = (),
    named: Sequence[str] = (),
    wanted: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
) -> Table:
    """Read a table, its columns as numbers but for `texts`, without `ignore`.

    Each column is given by its name or its number, from 1, or from -1 backwards, as a text; or by its place
    from 0, as an int. `named` and `wanted` are others, as for `TableReader`. Numbers,
    texts and the lines they stand in may take `max_bytes`, of 8 bytes each.

    Raises
    ------
    NotANumberError
        If a cell is no number; the text names line and column.
    DataError
        If the text is not UTF-8, a line is too long or has another number of cells, or there is no row.
    ConfigurationError
        If there is no such column.
    """
    reader = TableReader(file, name, [c for c in (*texts, *ignore, *named) if isinstance(c, str)], wanted)
    as_text = [reader.position(column) for column in texts]
    left_out = {reader.position(column) for column in ignore} | set(as_text)
    chosen = [index for index in range(reader.width) if index not in left_out]
    if not chosen and not as_text:
        raise DataError(f"{name}: no column is left to read")
    values, lines = array("d"), array("q")
    found: dict[int, list[str]] = {index: [] for index in as_text}
    known: dict[str, str] = {}  # each label is kept once, however many rows have it
    for row in reader:
        cells = row if len(chosen) == len(row) else [row[index] for index in chosen]
        try:
            values.extend(map(float, cells))
        except ValueError:
            raise _not_a_number(reader, row, chosen) from None
        lines.append(reader.line)
        if 8 * (len(values) + (1 + len(found)) * len(lines)) > max_bytes:
            raise DataError(f"{name}: its cells take more than the {max_bytes:,} bytes accepted")
        for index, column in found.items():
            label = row[index].strip()
            if not label:
                raise DataError(f"{name}: line {reader.line}, {reader.called(index)}: is empty")
            column.append(known.setdefault(label, label))
        if len(known) > MAX_LABELS:
            raise DataError(f"{name}: more than {MAX_LABELS:,} different texts as classes: numbers, perhaps?")
    numbers = np.frombuffer(values, np.float64) if values else np.empty(0)
    table = Table(
        name,
        reader.columns,
        reader.width,
        numbers.reshape(len(lines), len(chosen)),
        chosen,
        found,
        np.frombuffer(lines, np.int64) if lines else np.empty(0, np.int64),
    )
    if not lines:
        raise DataError(f"{name}: holds no rows of numbers")
    _check_finite(table, reader)
    return table


def _not_a_number(reader: TableReader, row: list[str], chosen: list[int]) -> DataError:
    for index in chosen:
        if not is_number(row[index]):
            cell = row[index].strip()
            remedy = ""
            if len(row) == 1 and any(mark in cell for mark in ";\t|"):
                remedy = ": separate the columns by commas"
            elif not cell:
                remedy = ": fill it in, or leave the line out"
            text = f"line {reader.line}, {reader.called(index)}: {cell[:40]!r} is not a number{remedy}"
            return NotANumberError(f"{reader.name}: {text}", index)
    raise AssertionError("every cell is a number")


def _check_finite(table: Table, reader: TableReader) -> None:
    finite = np.isfinite(table.numbers)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{table.name}: line {table.lines[row]}, {reader.called(table.chosen[column])}: "
            f"{table.numbers[row, column]} is not finite: fill it in, or leave the line out"
        )


def is_number(cell: str) -> bool:
    """Whether a cell is what Python reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a UTF-8 file, none of them read further than a line may go."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    number = 0
    try:
        while line := text.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise DataError(f"{name}: line {number} has more than the {MAX_LINE:,} characters accepted")
            yield line
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: is not UTF-8 text (behind line {number}: {error.reason}): save it as UTF-8"
        ) from error
    finally:
        with suppress(ValueError):  # the file is closed already, and this text with it
            text.detach()
