"""Features of a table: gaps and texts as numbers, as the rows to train on have them, and the same again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnx.datasets.base import Array
from nnx.datasets.cells import TRUTHS
from nnx.datasets.layout import GAP, Labelled, Layout
from nnx.datasets.tables import Table
from nnx.errors import ConfigurationError, DataError, counted, printable, shown

MAX_CATEGORIES = 100  # different texts in one column that are features
_LISTED = 10
_ROUNDING = 1e-12  # of a sum of weights
_CODES = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)  # of missing values, in measured data
_EASY = re.compile(r"[^\W\d][\w .()%/+-]*")  # names that --ignore and a shell take as they are, in quotes
_NO_TARGET = (
    "no --target is given, so this would be an autoencoder; to learn a column, name it, for example --target "
)
_DATE = re.compile(r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d\d))([T ]\d{1,2}:\d\d.*)?")


def listed(table: Table, columns: Sequence[int]) -> str:
    """``"column 2 (b), column 5 (c) and 3 more"``."""
    texts = [table.called(column) for column in columns[:_LISTED]]
    return ", ".join(texts) + (f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else "")


def as_option(table: Table, columns: Sequence[int]) -> str:
    """Columns as ``--ignore`` takes them: by name, or by number where a name is hard to write."""
    names = table.columns or []
    words = [names[at] if names and _is_easy(names[at], names) else str(at + 1) for at in columns]
    text = ",".join(words)
    return text if re.fullmatch(r"[\w,.+/-]*", text) else f'"{text}"'


def _is_easy(name: str, names: Sequence[str]) -> bool:
    """Whether a name can be written without escapes, and means one column."""
    return bool(_EASY.fullmatch(name)) and name == name.strip() and f"{name}.1" not in names


def first_text(table: Table, column: int) -> str:
    """``"line 2, column 3 (colour): 'red'"``."""
    found = table.found[column]
    return f"line {found.line}, {table.called(column)}: {printable(found.cell)!r}"


def is_date(table: Table, column: int) -> bool:
    """Whether the first text in a column is a date."""
    return bool(_DATE.fullmatch(table.found[column].cell))


def mistyped(table: Table, columns: Sequence[int]) -> dict[int, int]:
    """The columns of text of which more than half of the cells are numbers, and how many these are."""
    many = {}
    for at in columns:
        numbers = int(np.count_nonzero(~np.isnan(table.of([at]))))
        if table.found[at].cell.lower() in TRUTHS:  # they are read as 1 and 0
            numbers -= table.found[at].count
        if numbers > table.found[at].count:
            many[at] = numbers
    return many


def refuse_mistyped(table: Table, columns: Sequence[int]) -> None:
    """Refuse columns of numbers that hold a few texts: these are mistakes, see `mistyped`.

    Raises
    ------
    DataError
        If there are any.
    """
    many = mistyped(table, columns)
    if not many:
        return
    said, wrong = [], 0
    for at, numbers in many.items():
        count = table.found[at].count
        wrong += count
        more = f", nor {'is' if count == 2 else 'are'} {counted(count - 1, 'more cell')}" if count > 1 else ""
        others = f"the other {numbers:,} cells are" if numbers > 1 else "the other cell is"
        said.append(f"{first_text(table, at)} is not a number{more}, {others}")
    it = "it" if wrong == 1 else "them"
    column = "the column" if len(many) == 1 else "the columns"
    raise DataError(
        f"{table.name}: {_joined(said[:_LISTED], said)}: correct {it}, or empty {it} and add --missing drop, "
        f"or leave {column} out: --ignore {as_option(table, list(many)[:20])}"
    )


def refuse_features(table: Table, texts: Sequence[int], onehot: bool, learn: bool) -> None:
    """Refuse columns of text that are to be features; with `onehot` only those that are mistyped numbers.

    With `learn` the message begins with how a column is learnt, unless all texts are mistakes or dates.

    Raises
    ------
    DataError
        If there are any.
    """
    refused = [] if onehot else texts
    dates = [column for column in refused if is_date(table, column)]
    others = [column for column in refused if column not in dates]
    before = ""
    if learn and not set(others) <= mistyped(table, others).keys():
        before = f"{_NO_TARGET}{as_option(table, others[-1:])}. "  # a target is often the last
    else:
        refuse_mistyped(table, texts)
    if len(refused) == 1 and dates:
        raise DataError(
            f"{table.name}: {first_text(table, dates[0])} is a date, which nnx does not read: "
            f"--ignore {as_option(table, dates)}"
        )
    remedy = (
        f": leave {'it' if len(refused) == 1 else 'them'} out by --ignore {as_option(table, refused[:20])}"
    )
    if dates:
        remedy += f" (nnx does not read dates: {listed(table, dates)})"
    if others:
        remedy += ", or make texts numbers by --categories onehot"
    refuse_texts(table, refused, remedy, before)


def refuse_texts(table: Table, columns: Sequence[int], remedy: str, before: str = "") -> None:
    """Refuse columns that hold texts where numbers are needed, all at once.

    The message begins with `before`, and ends with `remedy`.

    Raises
    ------
    DataError
        If there are any.
    """
    if not columns:
        return
    said = [first_text(table, at) for at in columns[:_LISTED]]
    if len(columns) == 1:
        raise DataError(f"{before}{table.name}: {said[0]} is not a number{remedy}")
    raise DataError(
        f"{before}{table.name}: {len(columns):,} columns hold text: {_joined(said, columns)}{remedy}"
    )


def _joined(said: Sequence[str], columns: Sequence[object]) -> str:
    more = len(columns) - len(said)
    return "; ".join(said) + (f"; and {more:,} more" if more else "")


def refuse_gaps(table: Table, columns: Sequence[int], remedy: str) -> None:
    """Refuse gaps in these columns, all at once.

    Raises
    ------
    DataError
        If there are any.
    """
    found, said = [], []
    rows = len(table.lines)
    if not gaps_in(table, columns).any():
        return
    for column in columns:
        gaps = np.flatnonzero(gaps_in(table, [column]))
        if len(gaps):
            found.append(column)
            more = f" ({len(gaps):,} of {rows:,} rows)" if len(gaps) > 1 else ""
            said.append(f"line {table.lines[gaps[0]]}, {table.called(column)}{more}")
    if found:
        what = f"{said[0]}: is empty" if len(found) == 1 else f"{len(found):,} columns have empty cells: "
        rest = "" if len(found) == 1 else _joined(said[:_LISTED], found)
        raise DataError(f"{table.name}: {what}{rest}{remedy}")


def gaps_in(table: Table, columns: Sequence[int]) -> Array:
    """Which rows have a gap in one of these columns."""
    numbers = table.of([at for at in columns if at not in table.texts])
    gaps: Array = np.any(np.isnan(numbers), axis=1)
    for column in columns:
        if column in table.texts:
            gaps |= np.array([not cell for cell in table.texts[column]], bool)
    return gaps


def note_codes(table: Table, columns: Sequence[int]) -> None:
    """Note -999 and its like where all other numbers of the column are far from it: it may mean a gap."""
    at = np.searchsorted(table.chosen, columns)
    for extreme in np.fmin, np.fmax:
        ends = extreme.reduce(table.numbers, axis=0)[at]
        for place in np.flatnonzero(np.isin(ends, _CODES)):
            column, code = columns[int(place)], ends[place]
            numbers = table.of([column])[:, 0]
            others = numbers[(numbers != code) & ~np.isnan(numbers)]
            if len(others) > 1 and np.abs(others - code).min() > np.ptp(others):
                count = np.count_nonzero(numbers == code)
                table.notes.append(
                    f"{table.name}: {table.called(column)} is {code:.0f} in {count:,} rows, far from its "
                    "other values: if that means missing, leave those cells empty"
                )


def categories_of(table: Table, column: int) -> tuple[str, ...]:
    """The different texts of a column, sorted.

    Raises
    ------
    DataError
        If they are too many to be categories.
    """
    different = set(table.texts[column])
    rows = len(table.lines)
    if len(different) > MAX_CATEGORIES or (len(different) > 10 and 2 * len(different) > rows):
        raise DataError(
            f"{table.name}: {table.called(column)} has {len(different):,} different texts in {rows:,} rows, "
            f"which are names rather than categories: leave it out by --ignore {as_option(table, [column])}"
        )
    return tuple(sorted(different))


def matrix(table: Table, layout: Layout, notes: list[str]) -> Array:
    """The samples of a table, shape (rows, features); of each text of a category 1 in its feature.

    A text that no feature is for gives 0 in all features of its column, and a note.
    """
    assert layout.chosen is not None
    if layout.categories is None:
        return table.of(layout.chosen)
    x = np.zeros((len(table.lines), layout.features))
    at = 0
    for column, texts in zip(layout.chosen, layout.categories, strict=True):
        if not texts:
            x[:, at] = table.of([column])[:, 0]
            at += 1
            continue
        place = {text: at + number for number, text in enumerate(texts)}
        places = np.array([place.get(cell, -1) for cell in table.texts[column]])
        known = places >= 0
        x[np.flatnonzero(known), places[known]] = 1.0
        if not known.all():
            first = table.texts[column][int(np.argmin(known))] or GAP
            notes.append(
                f"{table.name}: {table.called(column)} holds texts that no row of the training had, in "
                f"{counted(int(np.count_nonzero(~known)), 'row')} (first {shown(first)!r}): these rows get 0 "
                "in all features of this column"
            )
        at += len(texts)
    return x


def filled(table: Table, x: Array, layout: Layout, notes: list[str]) -> Array:
    """Samples without gaps: each is the number that its column has for it; a note says in how many rows.

    Raises
    ------
    DataError
        If a column has none.
    """
    assert layout.chosen is not None
    columns = _numeric(layout)
    fills = layout.fills or (None,) * len(layout.chosen)
    refuse_gaps(
        table,
        [layout.chosen[at] for at, _ in columns if fills[at] is None],
        ": fill them in; to have the model fill them, train it with --missing mean or median",
    )
    rows = np.zeros(len(x), bool)
    for at, feature in columns:
        gaps = np.isnan(x[:, feature])
        rows |= gaps
        if gaps.any():
            x[gaps, feature] = fills[at]
    if rows.any():
        notes.append(
            f"{table.name}: {np.count_nonzero(rows):,} of {counted(len(rows), 'row')} had empty cells: each "
            "cell got the number that the model has for its column"
        )
    return x


def _numeric(layout: Layout) -> list[tuple[int, int]]:
    """Of each column of numbers: which of the chosen ones it is, and which feature."""
    categories = layout.categories or ((),) * len(layout.chosen or ())
    features = np.cumsum([0, *(len(texts) or 1 for texts in categories)])
    return [(at, int(features[at])) for at, texts in enumerate(categories) if not texts]


def learnt(data: Labelled, train: Array) -> Labelled:
    """The data with all that is learnt of the rows to train on: what gaps become, and which texts are known.

    A row of weight w counts as w rows; one of weight 0 does not count.

    Raises
    ------
    DataError
        If a column is empty in all of these rows.
    """
    layout = data.layout
    notes = list(data.notes)
    x = data.x
    weights = data.weights
    if weights is not None:
        train = train[weights[train] > 0.0]
    if data.missing in ("mean", "median") and layout.chosen is not None:
        fills: list[float | None] = [None] * len(layout.chosen)
        count = 0
        for at, feature in _numeric(layout):
            rows = train[~np.isnan(x[train, feature])]
            if not len(rows):
                raise DataError(
                    f"{data.name}: column {layout.chosen[at] + 1} is empty in all rows to train on: leave it "
                    f"out by --ignore {layout.chosen[at] + 1}"
                )
            fills[at] = _middle(data.missing, x[rows, feature], None if weights is None else weights[rows])
            gaps = np.isnan(x[:, feature])
            x[gaps, feature] = fills[at]
            count += int(np.count_nonzero(gaps))
        layout = replace(layout, fills=tuple(fills))
        if count:
            notes.append(f"{data.name}: {count:,} empty cells are the {data.missing} of their columns")
    if layout.categories is not None:
        x, layout = _known_texts(data, x, layout, train, notes)
    return replace(data, x=x, layout=layout, notes=tuple(notes))


def _middle(kind: str, values: Array, weights: Array | None) -> float:
    """The mean or the median of values, as if each of weight w were w values."""
    if kind == "mean":
        return float(np.average(values, weights=weights))
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    half = below[-1] / 2.0
    # the median is between two values where exactly half of the weight is below; sums of weights are rounded
    near = np.searchsorted(below, [half * (1.0 - _ROUNDING), half * (1.0 + _ROUNDING)])
    return float(values[order[near]].mean())


def _known_texts(
    data: Labelled, x: Array, layout: Layout, train: Array, notes: list[str]
) -> tuple[Array, Layout]:
    """Without the features of texts that no row to train on has."""
    assert layout.categories is not None
    assert layout.chosen is not None
    seen: Array = np.any(x[train], axis=0)
    kept = np.ones(layout.features, bool)
    known = []
    feature = 0
    for column, texts in zip(layout.chosen, layout.categories, strict=True):
        span = slice(feature, feature + (len(texts) or 1))
        if texts:
            kept[span] = seen[span]
            if not seen[span].all():
                where = "held-out rows" if data.weights is None else "rows held out or of weight 0"
                unseen = texts[int(np.argmin(seen[span]))] or GAP
                notes.append(
                    f"{data.name}: column {column + 1} holds texts only in {where} (first "
                    f"{shown(unseen)!r}): these rows get 0 in all features of this column"
                )
        known.append(tuple(text for text, kept_ in zip(texts, seen[span], strict=False) if kept_))
        feature = span.stop
    if any(texts and not left for texts, left in zip(layout.categories, known, strict=True)):
        raise ConfigurationError(
            f"{data.name}: a column of texts has none in the rows to train on: ignore it"
        )
    return x[:, kept], replace(layout, features=int(kept.sum()), categories=tuple(known))
