"""What is learnt of a table's columns, as values that JSON can store; nothing is pickled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nnx.errors import FileFormatError
from nnx.tables.dates import ORDERS, PARTS
from nnx.tables.fitted import Categories, Dates, Fitted, Numbers
from nnx.tables.frame import BOOLEAN, CATEGORY, DATE, NUMBER
from nnx.tables.kinds import IGNORED
from nnx.tables.scaling import Robust

VERSION = 1
_MAX_TEXT = 2**16  # characters of a name or a category


def written(columns: list[dict[str, Any]], named: bool, clip: bool) -> dict[str, Any]:
    """Return the record of columns."""
    return {"version": VERSION, "named": named, "clip": clip, "columns": columns}


def described(name: str, kind: str, given: bool, why: str, fitted: Fitted | None) -> dict[str, Any]:
    """Return the record of one column."""
    found = {"name": name, "kind": kind, "given": given, "why": why}
    return found if fitted is None else found | {"learnt": fitted.config()}


def read(record: Any) -> tuple[list[tuple[str, str, bool, str, Fitted | None]], bool, bool]:
    """Return (name, kind, given, why, what is learnt) of each column, and whether they have names and clip.

    Raises
    ------
    FileFormatError
        If the record is damaged, or has another version.
    """
    if not isinstance(record, Mapping) or record.get("version") != VERSION:
        raise FileFormatError(f"the record of a table's columns is damaged, or not of version {VERSION}")
    try:
        columns = [_column(each) for each in record["columns"]]
        names = [name for name, *_ in columns]
        if not names or len(set(names)) < len(names):
            raise ValueError("names that are not different")
        return columns, _truth(record["named"]), _truth(record["clip"])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"the record of a table's columns is damaged ({error!r:.200})") from error


def _column(found: Any) -> tuple[str, str, bool, str, Fitted | None]:
    kind = found["kind"]
    learnt: Fitted | None = None
    if kind == NUMBER:
        its = found["learnt"]
        learnt = Numbers(
            _scale(its["scale"]), _truth(its["indicator"]), *_extent(its), _one_of(its["decimal"], (".", ","))
        )
    elif kind == DATE:
        its = found["learnt"]
        scales = {_one_of(part, PARTS): _scale(value) for part, value in its["scales"].items()}
        learnt = Dates(scales, _truth(its["indicator"]), *_extent(its), _one_of(its["order"], ("", *ORDERS)))
    elif kind in (CATEGORY, BOOLEAN):
        its = found["learnt"]
        learnt = Categories(_categories(its["texts"]), _count(its["rare"]), _truth(its["boolean"]))
    elif kind != IGNORED:
        raise ValueError(f"a kind {kind!r:.40}")
    return _text(found["name"]), kind, _truth(found["given"]), _text(found["why"]), learnt


def _extent(its: Any) -> tuple[float, float]:
    low, high = (_finite(its[name]) for name in ("low", "high"))
    if low > high:
        raise ValueError("a range that is none")
    return low, high


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("a number expected")
    return float(value)


def _scale(value: Any) -> Robust:
    center, factor = map(_finite, value)
    if factor < 0.0:
        raise ValueError("a negative scale")
    return Robust(center, factor)


def _categories(value: Any) -> tuple[str | None, ...]:
    texts = tuple(None if text is None else _text(text) for text in value)
    if not isinstance(value, list) or len(set(texts)) < len(texts):
        raise ValueError("categories that are not different")
    return texts


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise TypeError("a text expected")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false expected")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a count expected")
    return value


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{value!r:.40} is not known")
    return str(value)
