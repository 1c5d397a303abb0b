"""Read the cells of a table: which are gaps, TRUE or FALSE, and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nnx.errors import ConfigurationError, shown

GAPS_IN_TEXT = frozenset({"", "na", "n/a", "#n/a", "nan", "-nan", "null", "<na>", "?"})
GAPS = GAPS_IN_TEXT | {"none"}  # in a column of texts, None may be a category
TRUTHS = {"true": 1.0, "false": 0.0}
NAN = float("nan")

_GROUP = r"[ \u00a0\u202f'\u2019]"  # between thousands: spaces (two of them non-breaking) and apostrophes
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_MINUS = {0x2212: "-"}


def _forms(decimal: str, group: str) -> re.Pattern[str]:
    plain = rf"(?:[0-9]+{decimal}?[0-9]*|{decimal}[0-9]+)"
    grouped = rf"[1-9][0-9]{{0,2}}(?:(?:{group}[0-9]{{3}})+|(?:{_GROUP}[0-9]{{3}})+)(?:{decimal}[0-9]*)?"
    return re.compile(rf"[+-]?(?:{plain}{_EXPONENT}|{grouped})")


_NUMBERS = {".": _forms(r"\.", ","), ",": _forms(",", r"\.")}
# One mark and three digits: 1,234 may be 1234 or 1.234.
_UNCLEAR = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")


def is_gap(cell: str) -> bool:
    """Return whether a cell says that its value is missing."""
    return cell.strip().lower() in GAPS


def number(cell: str, decimal: str) -> float | None:
    """Return the number in a cell; None if it holds none.

    Parameters
    ----------
    cell : str
    decimal : {".", ",", ""}
        The decimal mark; the other mark separates thousands. Empty: not known yet, so None is returned for
        a number that depends on it.
    """
    if decimal == "." or "." not in cell:
        try:  # most cells are plain numbers
            found = float(cell if decimal == "." else cell.replace(decimal, ".") if decimal else cell)
        except ValueError:
            pass
        else:
            return found if "_" not in cell and found == found else None
    text = cell.strip().translate(_MINUS)
    if not decimal:
        return None if "," in text or _UNCLEAR.fullmatch(text) else number(text, ".")
    if not _NUMBERS[decimal].fullmatch(text):
        return float(text) if text.lower().lstrip("+-") in ("inf", "infinity") else None
    text = re.sub(_GROUP, "", text.replace("." if decimal == "," else ",", ""))
    return float(text.replace(",", "."))


def looks_number(cell: str) -> bool:
    """Return whether a cell is a number with a decimal point or a decimal comma."""
    return number(cell, ".") is not None or number(cell, ",") is not None


def value(cell: str, decimal: str) -> float | None:
    """Return the number in a cell: 1 for TRUE, 0 for FALSE, NaN for a gap, and None for a text."""
    found = number(cell, decimal)
    if found is None:
        text = cell.strip().lower()
        found = NAN if text in GAPS else TRUTHS.get(text)
    return found


def one_column(lines: Iterable[str]) -> str:
    """Return whether lines with commas may be one column of numbers with a decimal comma, such as 63,70.

    It is "likely" if there is a heading without a comma, or if the digits after the commas look like decimal
    places: equally many in all lines, or some begin with a zero, or none end with a zero. Otherwise it is
    "possible", or "" if the lines have several columns, or no commas.
    """
    rest = [text for line in lines if (text := line.strip())]
    heads = 0
    while heads < len(rest) and "," not in rest[heads] and not looks_number(rest[heads]):
        heads += 1
    rest = rest[heads:]
    if not any("," in text for text in rest) or any(
        number(text, ",") is None or "," in (text[0], text[-1]) for text in rest
    ):
        return ""
    places = [text.partition(",")[2] for text in rest]
    if heads:
        return "likely"
    several = [digits for digits in places if len(digits) > 1]
    alike = len(several) == len(places) > 2 and len(set(map(len, places))) == 1
    zeros = [digits for digits in several if digits.endswith("0")]
    ahead = any(digits.startswith("0") for digits in several)
    return "likely" if several and (alike or ahead or not zeros) else "possible"


def decimal_mark(cells: Iterable[str], delimiter: str, name: str) -> str:
    """Return the decimal mark that cells show; empty if they show none.

    ``0,5`` and ``1.234,5`` show a comma, ``0.5`` and ``1,234.5`` a point. ``1,234`` shows neither. ``1.234``
    shows a point, except if semicolons separate the columns, as is usual with decimal commas. Cells that show
    both, or only cells that can be read both ways, are an error.
    """
    shows: dict[str, str] = {}
    unclear = ""
    for cell in cells:
        text = cell.strip()
        if "," not in text and ("." not in text or "." in shows):
            continue
        by = [mark for mark in ".," if number(text, mark) is not None]
        if len(by) == 1:
            shows.setdefault(by[0], text)
        elif by and ("," in text or delimiter == ";"):
            unclear = unclear or text
        elif by:
            shows.setdefault(".", text)
    if len(shows) == 2:
        raise ConfigurationError(
            f"{name}: {shown(shows['.'])} has a decimal point and {shown(shows[','])} a decimal comma: "
            "choose one with --decimal . or --decimal ,"
        )
    if unclear and not shows:
        mark = "," if "," in unclear else "."
        raise ConfigurationError(
            f"{name}: does the mark in {unclear} separate thousands or decimal places? "
            f"Use --decimal {'.' if mark == ',' else ','} (thousands) or --decimal {mark} (decimal places)"
        )
    return next(iter(shows), "")
