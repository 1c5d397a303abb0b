"""Guess what a column holds: numbers, categories, booleans, dates, or nothing to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, nearest, shown
from nnx.readers.cells import decimal_mark, number
from nnx.readers.types import Array
from nnx.tables.dates import ORDERS, date_of, looks_date, order_of
from nnx.tables.frame import (
    BOOLEAN,
    CATEGORY,
    DATE,
    EXACT,
    NUMBER,
    TEXT,
    Column,
    Frame,
    nones,
    texts_of,
    whole_text,
)

IGNORED = "ignore"
KINDS = (NUMBER, CATEGORY, BOOLEAN, DATE, *(f"{DATE}:{order}" for order in ORDERS), IGNORED)
FEW = 10  # so many different texts may always be categories
_TRUTHS = {"true": 1.0, "false": 0.0}
_BOOLEANS = _TRUTHS | {"1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0, "y": 1.0, "n": 0.0, "t": 1.0, "f": 0.0}


@dataclass(frozen=True)
class Kind:
    """What a column is.

    Attributes
    ----------
    name : str
        One of `KINDS`, without the order of a date.
    given : bool
        Whether the user said so; if not, it was guessed.
    order : str
        Of dates in texts: the order of day, month and year.
    decimal : str
        Of numbers in texts: the decimal mark.
    why : str
        Why the column is left out; empty for others.
    """

    name: str
    given: bool = False
    order: str = ""
    decimal: str = "."
    why: str = ""


def given_kind(text: Any, column: str) -> str:
    """Return a kind that the user gave, checked.

    Raises
    ------
    ConfigurationError
        If there is no such kind.
    """
    if not isinstance(text, str) or text not in KINDS:
        raise ConfigurationError(
            f"kind of column {shown(column)}: there is no kind {text!r:.60}{nearest(str(text), KINDS)}"
        )
    return text


def pair_of(text: str) -> tuple[str, str]:
    """Divide ``"zip=category"`` into a column and its kind.

    Raises
    ------
    ConfigurationError
        If it is something else.
    """
    column, equals, kind = (part.strip() for part in text.rpartition("="))
    if not equals or not column:
        raise ConfigurationError(f"kinds: write a column and its kind, as zip=category, not {text[:60]!r}")
    return column, given_kind(kind, column)


def kind_of(frame: Frame, column: Column, given: str | None = None) -> Kind:
    """Return what a column is: what the user gave, or a guess by its type and its cells.

    Texts are numbers, booleans (true, false) or dates if all of them are; else categories if they are few:
    at most `FEW` different ones, or at most half as many as there are cells.

    Raises
    ------
    DataError
        If most cells are numbers or dates, and some are not.
    ConfigurationError
        If dates or numbers can be read in two ways.
    """
    if given is not None:
        return _given(frame, column, given)
    if column.missing().all():
        return Kind(IGNORED, why="is empty")
    if column.type == TEXT:
        return _of_texts(frame, column)
    kind = Kind({BOOLEAN: BOOLEAN, DATE: DATE, NUMBER: NUMBER, CATEGORY: CATEGORY}[column.type])
    if kind.name in (NUMBER, DATE) and not kind.why:
        cells = column.cells[~column.missing()]
        if not column.missing().any() and (cells == cells[0]).all():
            return Kind(IGNORED, why="has the same value in all rows")
    return kind


def _given(frame: Frame, column: Column, given: str) -> Kind:
    name, _, order = given.partition(":")
    if column.type != TEXT:
        return Kind(name, given=True)
    texts = sorted(set(column.cells[~column.missing()]))
    if name == DATE:
        return Kind(name, given=True, order=order or order_of(texts, column.name))
    if name == NUMBER:
        return Kind(name, given=True, decimal=_decimal(column, texts))
    return Kind(name, given=True)


def _decimal(column: Column, texts: list[str]) -> str:
    try:
        return decimal_mark(texts, "", f"column {shown(column.name)}") or "."
    except ConfigurationError as error:
        text = str(error).partition(": choose one")[0].partition("? Use")[0]
        raise ConfigurationError(f"{text}: convert the column to numbers, or ignore it") from None


def _of_texts(frame: Frame, column: Column) -> Kind:
    times = Counter(column.cells[~column.missing()].tolist())
    different, cells = sorted(times), times.total()
    if {text.lower() for text in different} <= _TRUTHS.keys():
        return Kind(BOOLEAN)
    for name, fits in (
        (NUMBER, lambda text: number(text, ".") is not None or number(text, ",") is not None),
        (DATE, looks_date),
    ):
        others = {text for text in different if not fits(text)}
        known = cells - sum(times[text] for text in others)
        if not others:
            if name == DATE:
                return Kind(DATE, order=order_of(different, column.name))
            return Kind(NUMBER, decimal=_decimal(column, different))
        if 2 * known > cells:
            row = first_of(column, others)
            rest = f"the other {known:,} cells are" if known > 1 else "the other cell is"
            raise frame.fault(
                column,
                row,
                f"{shown(column.cells[row])!r} is not a {name}, {rest}: correct it, empty it, or set the "
                f"column's kind to {CATEGORY} or {IGNORED}",
            )
    if len(different) > FEW and 2 * len(different) > cells:
        return Kind(IGNORED, why=f"has {len(different):,} different texts in {cells:,} cells")
    return Kind(CATEGORY)


def first_of(column: Column, texts: Collection[str]) -> int:
    """Return the first row that holds one of these texts."""
    return next(row for row, cell in enumerate(column.cells) if cell in texts)


def as_numbers(frame: Frame, column: Column, decimal: str = ".") -> Array:
    """Return the cells of a column of numbers as float64, NaN where one is missing.

    Raises
    ------
    DataError
        If a cell is not a finite number; the text names its row and column.
    """
    if column.type in (NUMBER, BOOLEAN):
        cells = column.cells
    elif column.type == DATE:
        raise frame.fault(column, 0, "holds dates, but the column is one of numbers")
    else:
        cells = _parsed(frame, column, lambda text: number(text, decimal), "a number")
    infinite = np.isinf(cells)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise frame.fault(
            column,
            row,
            f"holds infinity ({cells[row]}): correct it, or empty it to count as missing",
        )
    return cells


def as_categories(frame: Frame, column: Column) -> Array:
    """Return the cells of a column of categories as texts, None where one is missing.

    A whole number is the same category whether the table stores it as an integer, a float or a text.

    Raises
    ------
    DataError
        If a cell is a number so large that float64 cannot tell it from the next whole number.
    """
    if column.type == NUMBER:
        large = np.abs(column.cells) >= EXACT
        if large.any():
            row = int(np.argmax(large))
            raise frame.fault(
                column,
                row,
                f"{column.cells[row]:.17g} is too large for a category that is stored as a number, because "
                "different numbers would be the same category: convert the column to texts",
            )
    cells = texts_of(column)
    if column.type in (TEXT, CATEGORY):
        short = {text: whole_text(text) for text in set(cells[~column.missing()])}
        cells = np.array([short.get(cell) for cell in cells], object)
    return cells


def as_booleans(frame: Frame, column: Column) -> Array:
    """Return the cells of a boolean column as ``"true"``, ``"false"`` or None.

    Raises
    ------
    DataError
        If a cell is something else.
    """
    if column.type == BOOLEAN:
        return texts_of(column)
    texts = Column(column.name, TEXT, texts_of(column))
    cells = _parsed(frame, texts, lambda text: _BOOLEANS.get(text.lower()), "true or false")
    return texts_of(Column(column.name, BOOLEAN, cells))


def as_dates(frame: Frame, column: Column, order: str) -> Array:
    """Return the cells of a column of dates as datetime64, NaT where one is missing.

    Raises
    ------
    DataError
        If a cell is no date.
    """
    if column.type == DATE:
        return column.cells
    if column.type in (NUMBER, BOOLEAN):
        if column.missing().all():
            return np.full(len(column.cells), np.datetime64("NaT", "us"), "datetime64[us]")
        row = int(np.argmin(column.missing()))
        raise frame.fault(column, row, f"{column.cells[row]:g} is a number, but the column is one of dates")
    known = {text: date_of(text, order) for text in set(column.cells[~column.missing()])}
    wrong = {text for text, date in known.items() if date is None}
    if wrong:
        row = first_of(column, wrong)
        said = f" ({order or ORDERS[0]})"
        raise frame.fault(
            column, row, f"{shown(column.cells[row])!r} is not a date{said}: correct it, or empty it"
        )
    dates = [np.datetime64("NaT", "us") if cell is None else known[cell] for cell in column.cells]
    return np.array(dates, "datetime64[us]")


def _parsed(frame: Frame, column: Column, read: Any, what: str) -> Array:
    """Return texts as float64 by a function that returns None for a wrong one; each text is read once."""
    known = {text: read(text) for text in set(column.cells[~column.missing()])}
    cells = np.array([np.nan if cell is None else known[cell] for cell in column.cells], object)
    wrong = nones(cells)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise frame.fault(column, row, f"{shown(column.cells[row])!r} is not {what}: correct it, or empty it")
    return cells.astype(np.float64)
