"""Read text tables: columns as numbers, or as texts where the caller asks for them."""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from nnx.errors import DataError, shown
from nnx.readers.cells import GAPS_IN_TEXT, NAN, TRUTHS, value
from nnx.readers.form import Form
from nnx.readers.idx import MAX_BYTES
from nnx.readers.table_reader import TableReader, called
from nnx.readers.types import Array

_PADDED = re.compile("0[0-9]{2,}")  # with two digits it would be a month or an hour
_FIRST = 200  # rows in which such cells are looked for
_MANY = 1000  # texts in a column, after which its cells are no longer parsed
MAX_LABELS = 2**16  # different texts in a column: more cannot be classes
TOTALS = frozenset(
    {"total", "totals", "grand total", "subtotal", "sum", "sums", "mean", "average", "avg", "summe", "gesamt"}
)


@dataclass
class Text:
    """The first cell in a column that is neither a number nor a gap, and how many such cells there are."""

    line: int
    cell: str
    count: int = 1


@dataclass(eq=False)
class Table:
    """A table by columns.

    Attributes
    ----------
    name : str
        Its name in errors.
    columns : list of str or None
        The names of its columns, all different and none empty; None if the file has no names.
    width : int
        Number of columns in the file.
    numbers : array
        Shape (rows, columns that were read as numbers), float64; NaN where a cell is a gap or a text.
    chosen : list of int
        The columns of the file that were read as numbers.
    texts : dict of int to list of str
        The columns that the caller asked for as text, stripped; "" where a cell is a gap.
    lines : array of int
        The number of each row's last line in the file, from 1.
    found : dict of int to Text
        The texts found in columns that were read as numbers.
    truths : set of int
        The columns of numbers that hold TRUE and FALSE, 0, 1 and gaps, and nothing else.
    unnamed : set of int
        The columns without a name in the line of names.
    notes : list of str
        What the user should know about how the file was read.
    """

    name: str
    columns: list[str] | None
    width: int
    numbers: Array
    chosen: list[int]
    texts: dict[int, list[str]] = field(default_factory=dict)
    lines: Array = field(default_factory=lambda: np.empty(0, np.int64))
    found: dict[int, Text] = field(default_factory=dict)
    truths: set[int] = field(default_factory=set)
    unnamed: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chosen = np.asarray(self.chosen, np.int64)  # computed once: a table may have very many columns

    def of(self, places: Sequence[int]) -> Array:
        """Return the numbers in these columns of the file, in this order."""
        columns: Array = self.numbers[:, np.searchsorted(self._chosen, places)]
        return columns

    def names(self, places: Sequence[int]) -> tuple[str, ...] | None:
        """Return the names of these columns; None if the table has no names."""
        return tuple(self.columns[index] for index in places) if self.columns else None

    def called(self, index: int) -> str:
        """Return a column as messages call it: ``"column 3 (age)"``."""
        return called(index, self.columns)

    def rows(self, kept: Array) -> None:
        """Keep only the rows where the mask `kept` is True."""
        self.numbers, self.lines = self.numbers[kept], self.lines[kept]
        for column, cells in self.texts.items():
            self.texts[column] = [cells[row] for row in np.flatnonzero(kept)]


def read_table(
    file: BinaryIO,
    name: str,
    form: Form,
    texts: Sequence[int] = (),
    ignore: Sequence[int] = (),
    max_bytes: int = MAX_BYTES,
    numbers_only: bool = False,
    max_texts: int = MAX_LABELS,
) -> Table:
    """Read the columns `texts` as text, and all others but `ignore` as numbers.

    Columns count from 0. Numbers, texts and line numbers count 8 bytes each, and may take `max_bytes` in
    all. A line of totals at the end is left out. Use `numbers_only` if you refuse texts anyway: reading then
    stops soon after a column turns out to hold text. The columns `texts` may hold `max_texts` different texts
    in all.
    """
    reader = TableReader(file, name, form)
    left_out = {*ignore, *texts}
    chosen = [index for index in range(reader.width) if index not in left_out]
    if not chosen and not texts:
        raise DataError(f"{name}: no column is left to read: ignore fewer columns")
    cells = _Cells(reader, chosen, texts, max_bytes, max_texts)
    for row in reader:
        cells.add(row)
        if numbers_only and any(text.count > _MANY for text in cells.found.values()):
            break
    return cells.table()


def read_mixed(
    file: BinaryIO,
    name: str,
    form: Form,
    texts: Sequence[int] = (),
    ignore: Sequence[int] = (),
    max_bytes: int = MAX_BYTES,
) -> Table:
    """Read columns as numbers where all cells are numbers, TRUE, FALSE or gaps, and as texts elsewhere.

    Parameters
    ----------
    texts : sequence of int
        Columns that are read as text in any case, so that 007 stays 007.
    """
    first = read_table(file, name, form, texts, ignore, max_bytes, max_texts=sys.maxsize)
    if not first.found:
        return first
    found = [*texts, *first.found]
    table = read_table(file, name, form, found, ignore, max_bytes, max_texts=sys.maxsize)
    table.notes = first.notes
    return table


class _Cells:
    """Collect the cells of a table, row by row."""

    def __init__(
        self, reader: TableReader, chosen: list[int], as_text: Sequence[int], max_bytes: int, max_texts: int
    ) -> None:
        self.reader, self.chosen, self.max_bytes, self.max_texts = reader, chosen, max_bytes, max_texts
        form = reader.form
        self.decimal = form.decimal
        self.plain = form.decimal == "." or (not form.decimal and form.delimiter != ";")
        self.values, self.lines = array("d"), array("q")
        self.texts: dict[int, list[str]] = {index: [] for index in as_text}
        self.known: dict[str, str] = {}  # each label is stored once, even if many rows have it
        self.found: dict[int, Text] = {}
        self.truths: dict[int, Text] = {}
        self.padded: dict[int, tuple[int, str]] = {}  # the line and the cell of the first such as 01234
        self.totals: list[tuple[int, list[str]]] = []

    def add(self, row: list[str]) -> None:
        reader = self.reader
        if len(self.lines) < _FIRST:
            for index in self.chosen:
                if _PADDED.fullmatch(row[index].strip()):
                    self.padded.setdefault(index, (reader.line, row[index].strip()))
        cells = row if len(self.chosen) == len(row) else [row[index] for index in self.chosen]
        self.values.extend(self._numbers(cells))
        self.lines.append(reader.line)
        if 8 * (len(self.values) + (1 + len(self.texts)) * len(self.lines)) > self.max_bytes:
            raise DataError(f"{reader.name}: its cells take more than the {self.max_bytes:,} bytes accepted")
        for index, column in self.texts.items():
            label = row[index].strip()
            label = "" if label.lower() in GAPS_IN_TEXT else label
            column.append(self.known.setdefault(label, label))
        if len(self.known) > self.max_texts:
            raise DataError(
                f"{reader.name}: a column of classes has more than {self.max_texts:,} different texts: "
                "are they numbers?"
            )
        if _is_total(row) and len(self.totals) < 100:
            self.totals.append((len(self.lines) - 1, row))

    def _numbers(self, cells: list[str]) -> list[float]:
        if self.plain and "_" not in "".join(cells):  # Python allows it between digits, files do not
            try:
                return list(map(float, cells))
            except ValueError:
                pass
        found, decimal = self.found, self.decimal
        numbers = [
            None if index in found and found[index].count > _MANY else value(cell, decimal)
            for index, cell in zip(self.chosen, cells, strict=True)
        ]
        for index, cell, number in zip(self.chosen, cells, numbers, strict=True):
            if number is not None and cell[:1] not in "tTfF":
                continue
            truth = number is not None and cell.strip().lower() in TRUTHS
            if number is None or truth:
                kept = self.truths if truth else self.found
                if index in kept:
                    kept[index].count += 1
                else:
                    kept[index] = Text(self.reader.line, cell.strip()[:40])
        return [NAN if number is None else number for number in numbers]

    def table(self) -> Table:
        reader = self.reader
        if not self.lines:
            names = "only names of columns and " if reader.columns else ""
            raise DataError(f"{reader.name}: holds {names}no rows")
        numbers = np.frombuffer(self.values, np.float64) if self.values else np.empty(0)
        table = Table(
            reader.name,
            reader.columns,
            reader.width,
            numbers.reshape(len(self.lines), len(self.chosen)),
            self.chosen,
            self.texts,
            np.frombuffer(self.lines, np.int64),
            self.found,
            set(self.truths),
            reader.unnamed,
            reader.notes,
        )
        self._leave_out_totals(table)
        table.notes += [
            _padded(table, *where) for where in self.padded.items() if where[0] not in table.found
        ]
        for index, truth in self.truths.items():
            column = table.of([index])
            if not np.isin(column[np.isfinite(column)], (0.0, 1.0)).all():
                table.truths.discard(index)
                table.found.setdefault(index, truth)
        _check_finite(table)
        return table

    def _leave_out_totals(self, table: Table) -> None:
        """Leave out lines of totals at the end of the table."""
        rows, run = len(table.lines), 0
        while run < len(self.totals) and self.totals[-1 - run][0] == rows - 1 - run:
            run += 1
        if self.totals and (run != len(self.totals) or run == rows):
            lines = ", ".join(str(table.lines[row]) for row, _ in self.totals[:5])
            table.notes.append(
                f"{table.name}: lines that begin with {shown(next(filter(None, self.totals[0][1])))!r} are "
                f"read as data (line {lines}): delete them if they are totals"
            )
            return
        for _, row in self.totals:
            for index in self.chosen:
                if index in table.found and value(row[index], self.decimal) is None:
                    table.found[index].count -= 1
                    if not table.found[index].count:
                        del table.found[index]
        run = run or int(_sums_up(table.numbers))
        if run:
            line = table.lines[-run]
            table.notes.append(f"{table.name}: line {line} holds totals of the others and is left out")
            table.rows(np.arange(rows) < rows - run)


def _padded(table: Table, index: int, first: tuple[int, str]) -> str:
    line, cell = first
    name = table.columns[index] if table.columns else ""
    return (
        f"{table.name}: line {line}, {table.called(index)}: {cell:.20} is read as the number "
        f"{cell.lstrip('0') or '0':.20}; if these are codes, such as zip codes, train with --preset tabular "
        f"--kinds {name if name.isidentifier() else index + 1}=category"
    )


def _is_total(row: Sequence[str]) -> bool:
    """Return whether the first cell that is not empty is a word such as "total"."""
    cell = row[0] or next(filter(None, row), "")
    return cell[:1].isalpha() and cell.strip().rstrip(":").casefold() in TOTALS


def _sums_up(numbers: Array) -> bool:
    """Return whether each number in the last row is the sum of those above, and larger than each of them."""
    if len(numbers) < 5 or numbers.shape[1] < 2:
        return False
    with np.errstate(all="ignore"):
        others, last = numbers[:-1], numbers[-1]
        if not np.all((np.abs(last) > np.abs(others[-1])) | np.isnan(last)):  # most tables end here
            return False
        held = np.isfinite(last)
        sums = np.allclose(others[:, held].sum(axis=0), last[held], rtol=1e-9, atol=0.0)
        return bool(held.sum() > 1 and sums and np.all(np.abs(last) > np.abs(others).max(axis=0), where=held))


def _check_finite(table: Table) -> None:
    infinite = np.isinf(table.numbers)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataError(
            f"{table.name}: line {table.lines[row]}, {table.called(table.chosen[column])}: "
            f"{table.numbers[row, column]} is not finite: correct it, or delete the line"
        )
