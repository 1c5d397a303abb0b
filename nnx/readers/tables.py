"""Tables of text: their columns as numbers, or as texts where a caller asks for them."""

from __future__ import annotations

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

_MANY = 1000  # texts in a column, after which its cells need no further look
MAX_LABELS = 2**16  # different texts in one column: more are no classes
TOTALS = frozenset(
    {"total", "totals", "grand total", "subtotal", "sum", "sums", "mean", "average", "avg", "summe", "gesamt"}
)


@dataclass
class Text:
    """A column with cells that are neither numbers nor gaps: the first of them, and how many."""

    line: int
    cell: str
    count: int = 1


@dataclass(eq=False)
class Table:
    """A table by columns.

    Attributes
    ----------
    name : str
        What an error calls it.
    columns : list of str or None
        The names of its columns, if it has any: no two alike, and none of them empty.
    width : int
        How many columns the file has.
    numbers : array
        Shape (rows, columns that were read as numbers), float64; NaN where a cell is a gap or a text.
    chosen : list of int
        Which columns those are.
    texts : dict of int to list of str
        The columns that were asked for as text, stripped; "" where a cell is a gap.
    lines : array of int
        Of each row: the line where it ends in the file, from 1.
    found : dict of int to Text
        Which columns of numbers hold texts.
    truths : set of int
        Which columns of numbers hold TRUE and FALSE, and nothing else.
    unnamed : set of int
        Which columns the line of names gives no name.
    notes : list of str
        What a reader of the results must know of how the file was read.
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
        self._chosen = np.asarray(self.chosen, np.int64)  # made once: a table may have very many columns

    def of(self, places: Sequence[int]) -> Array:
        """The numbers in these columns of the file, in this order."""
        columns: Array = self.numbers[:, np.searchsorted(self._chosen, places)]
        return columns

    def names(self, places: Sequence[int]) -> tuple[str, ...] | None:
        """The names of these columns, where the table has names."""
        return tuple(self.columns[index] for index in places) if self.columns else None

    def called(self, index: int) -> str:
        """``"column 3 (age)"``."""
        return called(index, self.columns)

    def rows(self, kept: Array) -> None:
        """Keep some of the rows."""
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
) -> Table:
    """Read a table, its columns as numbers but for `texts`, without `ignore`.

    Columns count from 0. Numbers, texts and the lines they stand in may take `max_bytes`, of 8 bytes each. A
    line of totals at the end is left out. With `numbers_only` texts are to be refused: a table that holds
    some is not read much further.

    Raises
    ------
    DataError
        If it is no text, a line is too long or has another number of cells, there is no row, or a number is
        infinite.
    """
    reader = TableReader(file, name, form)
    left_out = {*ignore, *texts}
    chosen = [index for index in range(reader.width) if index not in left_out]
    if not chosen and not texts:
        raise DataError(f"{name}: no column is left to read")
    cells = _Cells(reader, chosen, texts, max_bytes)
    for row in reader:
        cells.add(row)
        if numbers_only and any(text.count > _MANY for text in cells.found.values()):
            break
    return cells.table()


class _Cells:
    """The cells of a table, gathered row by row."""

    def __init__(
        self, reader: TableReader, chosen: list[int], as_text: Sequence[int], max_bytes: int
    ) -> None:
        self.reader, self.chosen, self.max_bytes = reader, chosen, max_bytes
        form = reader.form
        self.decimal = form.decimal
        self.plain = form.decimal == "." or (not form.decimal and form.delimiter != ";")
        self.values, self.lines = array("d"), array("q")
        self.texts: dict[int, list[str]] = {index: [] for index in as_text}
        self.known: dict[str, str] = {}  # each label is kept once, however many rows have it
        self.found: dict[int, Text] = {}
        self.truths: dict[int, Text] = {}
        self.totals: list[tuple[int, list[str]]] = []

    def add(self, row: list[str]) -> None:
        reader = self.reader
        cells = row if len(self.chosen) == len(row) else [row[index] for index in self.chosen]
        self.values.extend(self._numbers(cells))
        self.lines.append(reader.line)
        if 8 * (len(self.values) + (1 + len(self.texts)) * len(self.lines)) > self.max_bytes:
            raise DataError(f"{reader.name}: its cells take more than the {self.max_bytes:,} bytes accepted")
        for index, column in self.texts.items():
            label = row[index].strip()
            label = "" if label.lower() in GAPS_IN_TEXT else label
            column.append(self.known.setdefault(label, label))
        if len(self.known) > MAX_LABELS:
            raise DataError(
                f"{reader.name}: more than {MAX_LABELS:,} different texts as classes: numbers, perhaps?"
            )
        if _is_total(row) and len(self.totals) < 100:
            self.totals.append((len(self.lines) - 1, row))

    def _numbers(self, cells: list[str]) -> list[float]:
        if self.plain and "_" not in "".join(cells):  # which Python, and nobody else, takes between digits
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
            names = "names of columns, but " if reader.columns else ""
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
        for index, truth in self.truths.items():
            column = table.of([index])
            if not np.isin(column[np.isfinite(column)], (0.0, 1.0)).all():
                table.truths.discard(index)
                table.found.setdefault(index, truth)
        _check_finite(table)
        return table

    def _leave_out_totals(self, table: Table) -> None:
        """Leave out the lines at the end that sum up the others."""
        rows, run = len(table.lines), 0
        while run < len(self.totals) and self.totals[-1 - run][0] == rows - 1 - run:
            run += 1
        if self.totals and (run != len(self.totals) or run == rows):
            lines = ", ".join(str(table.lines[row]) for row, _ in self.totals[:5])
            table.notes.append(
                f"{table.name}: lines that begin with {shown(next(filter(None, self.totals[0][1])))!r} are "
                f"taken as data (line {lines}): take them out if they are sums"
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
            table.notes.append(f"{table.name}: line {line} holds totals of the others, so it is left out")
            table.rows(np.arange(rows) < rows - run)


def _is_total(row: Sequence[str]) -> bool:
    """Whether the first cell that is filled says so."""
    cell = row[0] or next(filter(None, row), "")
    return cell[:1].isalpha() and cell.strip().rstrip(":").casefold() in TOTALS


def _sums_up(numbers: Array) -> bool:
    """Whether the last row holds the sums of all others, and more than any of them."""
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
            f"{table.numbers[row, column]} is not finite: fill it in, or leave the line out"
        )
