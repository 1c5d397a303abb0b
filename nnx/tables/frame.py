"""Columns of a table with their types, however the table is stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nnx.errors import ConfigurationError, DataError, nearest, shown
from nnx.readers.types import Array

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0*")  # a whole number as a float is written
_NUMBERED = re.compile(r"column \d+")  # the name of a column that has none
# The types of a column, and how its cells are stored; a missing cell is NaN, NaT or None.
NUMBER = "number"  # float64
BOOLEAN = "boolean"  # float64: 0 and 1
DATE = "date"  # datetime64[us]
TEXT = "text"  # objects: str
CATEGORY = "category"  # objects: str; the table itself says that these are categories

EXACT = 2.0**53  # from here on, different whole numbers can be the same float64


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its name, or ``"column 3"`` if the table has no names.
    type : {"number", "boolean", "date", "text", "category"}
        What the table says that it holds.
    cells : array of shape (rows,)
    """

    name: str
    type: str
    cells: Array

    def missing(self) -> Array:
        """Return which cells are missing."""
        gaps: Array
        if self.type in (NUMBER, BOOLEAN):
            gaps = np.isnan(self.cells)
        elif self.type == DATE:
            gaps = np.isnat(self.cells)
        else:
            gaps = nones(self.cells)
        return gaps


@dataclass(frozen=True, eq=False)
class Frame:
    """A table.

    Attributes
    ----------
    columns : tuple of Column
    rows : int
    named : bool
        Whether the columns have names in the table.
    where : str
        What errors call the table.
    row : callable
        Return what errors call a row, given its number from 0.
    """

    columns: tuple[Column, ...]
    rows: int
    named: bool = True
    where: str = "X"
    row: Callable[[int], str] = "row {} (counted from 0)".format

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of rows and columns."""
        return self.rows, len(self.columns)

    def called(self, column: Column) -> str:
        """Return what errors call a column."""
        unnamed = _NUMBERED.fullmatch(column.name)
        return column.name if unnamed else f"column {shown(column.name)}"

    def take(self, rows: Array) -> Frame:
        """Return some rows; errors call them by their places in this table."""
        columns = tuple(Column(column.name, column.type, column.cells[rows]) for column in self.columns)
        return Frame(columns, len(rows), self.named, self.where, lambda row: self.row(int(rows[row])))

    def split(self, *names: str) -> tuple[Frame, Array]:
        """Return a table without some columns, and the cells of these columns, as X and y.

        The cells have the shape (rows,) for one name, and (rows, names) for several.

        Raises
        ------
        ConfigurationError
            If there is no such column.
        """
        known = {column.name: column for column in self.columns}
        for name in names:
            if name not in known:
                raise ConfigurationError(f"{self.where}: has no column {shown(name)!r}{nearest(name, known)}")
        rest = tuple(column for column in self.columns if column.name not in names)
        cells: Array = np.stack([known[name].cells for name in names], axis=1)
        return replace(self, columns=rest), cells[:, 0] if len(names) == 1 else cells

    def fault(self, column: Column, row: int, text: str) -> DataError:
        """Return the error for one cell."""
        return DataError(f"{self.where}: {self.row(row)}, {self.called(column)}: {text}")


def nones(cells: Array) -> Array:
    """Return which objects are None."""
    return np.fromiter((cell is None for cell in cells), bool, len(cells))


def texts_of(column: Column) -> Array:
    """Return the cells as texts, None where they are missing: 3 for 3.0, ``true`` for a boolean.

    The same value gives the same text, whether a table stores it as an integer, a float or a text.
    """
    if column.type in (TEXT, CATEGORY):
        return column.cells
    texts = np.empty(len(column.cells), object)
    there = ~column.missing()
    if column.type == BOOLEAN:
        texts[there] = [("false", "true")[int(cell)] for cell in column.cells[there].tolist()]
    elif column.type == NUMBER:
        texts[there] = [number_as_text(cell) for cell in column.cells[there].tolist()]
    else:
        texts[there] = np.datetime_as_string(column.cells[there], unit="auto").astype(object)
    return texts


def whole_text(text: str) -> str:
    """Return a whole number without the zeros of its fraction, 3 for 3.0; other texts as they are."""
    whole = _WHOLE.fullmatch(text)
    return text if whole is None else whole[1] if whole[1] != "-0" else "0"


def number_as_text(number: float) -> str:
    """Return a number as a text; a whole number has no decimal point."""
    return str(int(number)) if number.is_integer() and abs(number) < EXACT else repr(number)
