"""What is learnt of each column, and how it turns cells into numbers or codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnx.errors import counted, shown
from nnx.readers.types import Array
from nnx.tables.dates import PARTS, parts_of
from nnx.tables.frame import BOOLEAN, CATEGORY, Column, Frame, texts_of, whole_text
from nnx.tables.kinds import Kind, as_booleans, as_categories, as_dates, as_numbers
from nnx.tables.scaling import Robust, robust

INDICATOR = "missing"
_LISTED = 5  # categories that a description names


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: its scaled values, and an indicator if cells were missing in training.

    Attributes
    ----------
    scale : Robust
    indicator : bool
    low, high : float
        The smallest and the largest number in training.
    decimal : str
        The decimal mark of numbers in texts.
    """

    scale: Robust
    indicator: bool
    low: float = 0.0
    high: float = 0.0
    decimal: str = "."
    codes: ClassVar[int] = 0

    @classmethod
    def fit(cls, frame: Frame, column: Column, kind: Kind, weights: Array | None) -> Numbers:
        """Learn from the rows to train on."""
        cells = as_numbers(frame, column, kind.decimal)
        scale, gaps = robust(cells, weights, column.name), bool(np.isnan(cells).any())
        return cls(scale, gaps, *_extent(cells), kind.decimal)

    def holds(self) -> str:
        """Describe the cells of the training in a few words."""
        gaps = ", and empty cells" if self.indicator else ""
        return f"{self.low:.6g} to {self.high:.6g}, median {self.scale.center:.6g}{gaps}"

    def odd(self, frame: Frame, column: Column) -> str:
        """Return what a user should know of the cells of a new table; empty if nothing."""
        cells = as_numbers(frame, column, self.decimal)
        return _empty(column, self.indicator) or _far(frame, cells, self.low, self.high, "{:.6g}".format)

    def names(self, name: str) -> list[tuple[str, str]]:
        """Return the name and the kind of each number."""
        found = [(name, "number")]
        return [*found, (f"{name}: {INDICATOR}", "indicator")] if self.indicator else found

    def apply(self, frame: Frame, column: Column, clip: bool) -> list[Array]:
        """Return the numbers, a column each; a missing cell is the median."""
        return _with_indicator([(as_numbers(frame, column, self.decimal), self.scale)], self.indicator, clip)

    def config(self) -> dict[str, Any]:
        """Return what a record stores."""
        return {
            "scale": self.scale.config(), "indicator": self.indicator, "low": self.low, "high": self.high,
            "decimal": self.decimal,
        }  # fmt: skip


@dataclass(frozen=True)
class Dates:
    """A column of dates: its scaled parts that vary in training, and an indicator as for numbers.

    Attributes
    ----------
    scales : mapping of str to Robust
        For each part.
    indicator : bool
    low, high : float
        The first and the last date in training, in days since 1970.
    order : str
        Of dates in texts: the order of day, month and year.
    """

    scales: dict[str, Robust]
    indicator: bool
    low: float = 0.0
    high: float = 0.0
    order: str = ""
    codes: ClassVar[int] = 0

    @classmethod
    def fit(cls, frame: Frame, column: Column, kind: Kind, weights: Array | None) -> Dates:
        """Learn from the rows to train on."""
        parts = parts_of(as_dates(frame, column, kind.order))
        scales = {}
        for part in PARTS:
            known = parts[part][~np.isnan(parts[part])]
            if len(known) and (known != known[0]).any():
                scales[part] = robust(parts[part], weights, column.name)
        return cls(scales, bool(np.isnan(parts["days"]).any()), *_extent(parts["days"]), kind.order)

    def holds(self) -> str:
        """Describe the cells of the training in a few words."""
        gaps = ", and empty cells" if self.indicator else ""
        return f"{_day(self.low)} to {_day(self.high)}: {', '.join(self.scales) or 'one date'}{gaps}"

    def odd(self, frame: Frame, column: Column) -> str:
        """Return what a user should know of the cells of a new table; empty if nothing."""
        days = parts_of(as_dates(frame, column, self.order))["days"]
        return _empty(column, self.indicator) or _far(frame, days, self.low, self.high, _day)

    def names(self, name: str) -> list[tuple[str, str]]:
        """Return the name and the kind of each number."""
        found = [(f"{name}: {part}", "date") for part in self.scales]
        return [*found, (f"{name}: {INDICATOR}", "indicator")] if self.indicator else found

    def apply(self, frame: Frame, column: Column, clip: bool) -> list[Array]:
        """Return the numbers, a column each; parts of a missing date are their medians."""
        dates = as_dates(frame, column, self.order)
        parts = parts_of(dates)
        found = [(parts[part], scale) for part, scale in self.scales.items()]
        indicator = [np.isnat(dates).astype(np.float64)] if self.indicator else []
        return _with_indicator(found, False, clip) + indicator

    def config(self) -> dict[str, Any]:
        """Return what a record stores."""
        scales = {part: scale.config() for part, scale in self.scales.items()}
        return {
            "scales": scales, "indicator": self.indicator, "low": self.low, "high": self.high,
            "order": self.order,
        }  # fmt: skip


@dataclass(frozen=True)
class Categories:
    """A column of categories: codes from 1 for the texts known, 0 for all others.

    Attributes
    ----------
    texts : tuple of (str or None)
        The texts with the codes 1, 2, …; None is a missing cell. A missing cell has the code 0 if it is not
        among them.
    rare : int
        How many different texts had too few rows in training, and have the code 0.
    boolean : bool
        Whether only true and false are accepted.
    """

    texts: tuple[str | None, ...]
    rare: int = 0
    boolean: bool = False
    codes: ClassVar[int] = 1

    @classmethod
    def fit(cls, frame: Frame, column: Column, kind: Kind, least: int, most: int) -> Categories:
        """Learn from the rows to train on: keep the texts with `least` rows, at most `most` of them."""
        boolean = kind.name == BOOLEAN
        cells = as_booleans(frame, column) if boolean else as_categories(frame, column)
        counts: Counter[str | None] = Counter(cells.tolist())
        # true and false are known by their names: only empty cells can be too few
        kept = [text for text, count in counts.items() if count >= least or (boolean and text is not None)]
        kept = sorted(sorted(kept, key=_order), key=lambda text: -counts[text])[:most]
        return cls(tuple(sorted(kept, key=_order)), len(counts) - len(kept), boolean)

    @property
    def cardinality(self) -> int:
        """Return the number of codes, with the code 0."""
        return len(self.texts) + 1

    def names(self, name: str) -> list[tuple[str, str]]:
        """Return no names: these are no numbers."""
        return []

    def holds(self) -> str:
        """Describe the cells of the training in a few words."""
        texts = ["(empty)" if text is None else shown(text, 20) for text in self.texts[:_LISTED]]
        more = len(self.texts) - len(texts)
        rare = f", and {self.rare:,} rare" if self.rare else ""
        return f"{', '.join(texts) or 'none'}{f', … ({more:,} more)' if more else ''}{rare}"

    def odd(self, frame: Frame, column: Column) -> str:
        """Return what a user should know of the cells of a new table; empty if nothing."""
        unknown = self.apply(frame, column)[0] == 0
        if not unknown.any():
            return ""
        first = self.cells(frame, column)[int(np.argmax(unknown))]
        said = "an empty cell" if first is None else repr(shown(first))
        return (
            f"{counted(int(unknown.sum()), 'row')} with a category that training had not or hardly (first "
            f"{said}), read as unknown"
        )

    def cells(self, frame: Frame, column: Column) -> Array:
        """Return the cells as texts."""
        return as_booleans(frame, column) if self.boolean else as_categories(frame, column)

    def apply(self, frame: Frame, column: Column, clip: bool = False) -> list[Array]:
        """Return the codes; a record of an older nnx may have one for 3 and one for 3.0, which both hold."""
        code = {text: at for at, text in enumerate(self.texts, 1)}
        whole = {None if text is None else whole_text(text): at for text, at in code.items()}
        cells = self.cells(frame, column)
        written = cells if self.boolean else texts_of(column)
        found = (code.get(text, whole.get(cell, 0)) for text, cell in zip(written, cells, strict=True))
        return [np.fromiter(found, np.int64, len(cells))]

    def config(self) -> dict[str, Any]:
        """Return what a record stores."""
        return {"texts": list(self.texts), "rare": self.rare, "boolean": self.boolean}


def _order(text: str | None) -> tuple[bool, str]:
    """Return a key to sort texts, a missing cell before all others."""
    return text is not None, text or ""


Fitted = Numbers | Dates | Categories


def _with_indicator(found: list[tuple[Array, Robust]], indicator: bool, clip: bool) -> list[Array]:
    numbers = [scale.apply(cells, clip) for cells, scale in found]
    return [*numbers, np.isnan(found[0][0]).astype(np.float64)] if indicator else numbers


def _extent(cells: Array) -> tuple[float, float]:
    """Return the smallest and the largest number."""
    known = cells[~np.isnan(cells)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def _empty(column: Column, indicator: bool) -> str:
    count = 0 if indicator else int(column.missing().sum())
    return (
        f"{counted(count, 'empty cell')}, and training had none: each is read as the median" if count else ""
    )


def _far(frame: Frame, cells: Array, low: float, high: float, said: Callable[[float], str]) -> str:
    """Return a line about numbers further outside of the range in training than the range is wide."""
    width = high - low if high > low else max(abs(low), 1.0)
    far = (cells < low - width) | (cells > high + width)
    if not far.any():
        return ""
    row = int(np.argmax(far))
    return (
        f"{counted(int(far.sum()), 'row')} far outside of training, from {said(low)} to {said(high)} (first "
        f"{said(float(cells[row]))}, {frame.row(row)}): check the units"
    )


def _day(days: float) -> str:
    """Return a number of days since 1970 as a date."""
    return str(np.datetime64(int(days // 1), "D"))


def is_category(kind: Kind) -> bool:
    """Return whether a column has codes."""
    return kind.name in (CATEGORY, BOOLEAN)
