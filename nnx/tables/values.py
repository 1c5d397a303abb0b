"""Find the type of a column from the values in it, as Python has them."""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from nnx.errors import DataError, shown
from nnx.readers.cells import GAPS_IN_TEXT
from nnx.tables.frame import BOOLEAN, CATEGORY, DATE, EXACT, NUMBER, TEXT, Column, number_as_text, texts_of


def column_of_values(name: str, values: Iterable[Any]) -> Column:
    """Return a column of values: numbers, booleans, dates or texts; a mixture of them becomes texts.

    None, NaN, NaT, and texts such as ``""`` and ``"NA"`` (see `nnx.readers.cells.GAPS_IN_TEXT`) are missing
    cells.

    Raises
    ------
    DataError
        If a cell holds something else, such as a list.
    """
    values = unmasked(values)
    array = np.asarray(values) if isinstance(values, np.ndarray) else None
    if array is not None and array.dtype.kind in "iufb" and array.ndim == 1:
        return Column(name, BOOLEAN if array.dtype.kind == "b" else NUMBER, array.astype(np.float64))
    cells = [_cell(name, row, value) for row, value in enumerate(values)]
    types = {type(cell) for cell in cells} - {type(None)}
    if types <= {float}:
        # a column without any cell is a column of numbers, all of them missing
        return Column(name, NUMBER, np.array([np.nan if c is None else c for c in cells], np.float64))
    if types == {bool}:
        return Column(name, BOOLEAN, np.array([np.nan if c is None else float(c) for c in cells], np.float64))
    if types == {np.datetime64}:
        empty = np.datetime64("NaT", "us")
        return Column(name, DATE, np.array([empty if c is None else c for c in cells], "datetime64[us]"))
    texts = np.empty(len(cells), object)
    texts[:] = [
        None if cell is None else _text(cell, value) for cell, value in zip(cells, values, strict=True)
    ]
    return Column(name, TEXT, texts)


def column_of_categories(name: str, values: Iterable[Any]) -> Column:
    """Return a column of values of which the table itself says that they are categories.

    Raises
    ------
    DataError
        If a cell holds something else, such as a list.
    """
    values = list(values)
    column = column_of_values(name, values)
    texts = texts_of(column)
    if column.type == NUMBER:
        for row in np.flatnonzero(np.abs(column.cells) >= EXACT):
            texts[row] = _text(float(column.cells[row]), values[row])
    return Column(name, CATEGORY, texts)


def unmasked(values: Any) -> Any:
    """Return values in which the masked cells of a masked array are None."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return values
    cells = values.data.astype(object)
    cells[np.ma.getmaskarray(values)] = None
    return cells


def _text(cell: Any, value: Any) -> str:
    """Return a cell as a text: a large integer has all digits of its value, which a float cannot hold."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if not isinstance(cell, float):
        return str(cell)
    whole = isinstance(value, numbers.Integral) or (
        isinstance(value, Decimal) and value == value.to_integral()
    )
    return str(int(value)) if whole and EXACT <= abs(cell) < np.inf else number_as_text(cell)


def _cell(name: str, row: int, value: Any) -> Any:
    """Return a value as None, bool, float, numpy.datetime64 or str."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, str):
        text = value.strip()
        return None if text.lower() in GAPS_IN_TEXT else text
    if isinstance(value, (datetime.date, np.datetime64)):
        return _date(value)
    if isinstance(value, (datetime.timedelta, np.timedelta64)):
        seconds = np.timedelta64(value).astype("timedelta64[us]")
        return None if np.isnat(seconds) else float(seconds.astype(np.int64)) / 1e6
    if isinstance(value, Decimal) and value.is_nan():  # float() refuses a signaling NaN
        return None
    if isinstance(value, (numbers.Real, Decimal)):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        return None if number != number else number
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return None
    raise DataError(
        f"X: row {row} (counted from 0), column {shown(name)}: holds a {type(value).__name__}, but a cell is "
        "a number, a text, a date or a boolean"
    )


def _date(value: Any) -> Any:
    """Return a date as numpy.datetime64; a time zone is dropped, and the time that clocks there show kept."""
    if value != value:  # NaT
        return None
    if isinstance(value, datetime.datetime):
        value = value.replace(tzinfo=None)
        if hasattr(value, "to_datetime64"):  # of pandas
            value = value.to_datetime64()
    moment = np.datetime64(value).astype("datetime64[us]")
    return None if np.isnat(moment) else moment
