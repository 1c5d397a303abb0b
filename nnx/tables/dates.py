"""Read dates in texts, and divide dates into parts that are numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from nnx.errors import ConfigurationError, shown
from nnx.readers.types import Array

ORDERS = ("ymd", "dmy", "mdy")
_TIME = r"(?:[T ]\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d\d:?\d\d)?)?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}){_TIME}")
PARTS = ("days", "year", "month", "day", "weekday", "hour")


def parts_of(dates: Array) -> dict[str, Array]:
    """Return the parts of dates as float64, NaN for NaT.

    ``days`` counts from 1970-01-01, with the time as a fraction of a day. ``weekday`` is 0 for Monday.
    ``hour`` has the minutes as a fraction.
    """
    gone = np.isnat(dates)
    known = np.where(gone, np.datetime64(0, "us"), dates.astype("datetime64[us]"))
    day, month, year = (known.astype(f"datetime64[{unit}]") for unit in "DMY")
    whole = day.astype(np.int64)
    hours = (known - day).astype(np.int64) / 3.6e9
    found = {
        "days": whole + hours / 24.0,
        "year": year.astype(np.int64) + 1970,
        "month": month.astype(np.int64) % 12 + 1,
        "day": (day - month.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": (whole + 3) % 7,  # 1970-01-01 was a Thursday
        "hour": hours,
    }
    return {name: np.where(gone, np.nan, values.astype(np.float64)) for name, values in found.items()}


def looks_date(text: str) -> bool:
    """Return whether a text has the form of a date."""
    return bool(_YEAR_FIRST.fullmatch(text) or _YEAR_LAST.fullmatch(text))


def order_of(texts: Iterable[str], name: str) -> str:
    """Return the order of day, month and year in texts that are dates: ``"ymd"``, ``"dmy"`` or ``"mdy"``.

    Dots mean that the day comes first. Otherwise a number above 12 shows which number is the day.

    Raises
    ------
    ConfigurationError
        If the texts do not show it.
    """
    first = ""
    for text in texts:
        match = _YEAR_LAST.fullmatch(text)
        if match is None:
            continue
        first = first or text
        if match[2] == "." or int(match[1]) > 12:
            return "dmy"
        if int(match[3]) > 12:
            return "mdy"
    if first:
        raise ConfigurationError(
            f"column {shown(name)}: does {first} begin with the day or the month? Set the column's kind to "
            "date:dmy (day first) or date:mdy (month first)"
        )
    return "ymd"


def date_of(text: str, order: str) -> np.datetime64 | None:
    """Return the date in a text; None if there is none. A time zone is dropped, its clock's time kept."""
    match = _YEAR_FIRST.fullmatch(text)
    if match is not None:
        year, month, day = match[1], match[3], match[4]
    else:
        match = _YEAR_LAST.fullmatch(text)
        if match is None or order not in ("dmy", "mdy"):  # "" if training had no dates in texts
            return None
        year = match[4]
        day, month = (match[1], match[3]) if order == "dmy" else (match[3], match[1])
    hour, minute, second = (int(match[at] or 0) for at in (5, 6, 7))
    day_, time = f"{year}-{int(month):02}-{int(day):02}", f"{hour:02}:{minute:02}:{second:02}"
    try:
        return np.datetime64(f"{day_}T{time}.{(match[8] or '0')[:6]}", "us")
    except ValueError:  # February 30
        return None
