"""Turn gaps and texts of a table into numbers, as learnt from the rows to train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnx.errors import ConfigurationError, DataError, counted, shown
from nnx.experiments.train.layout import GAP, Labelled, Layout
from nnx.readers.columns import as_option, refuse_gaps
from nnx.readers.tables import Table
from nnx.readers.types import Array

MAX_CATEGORIES = 100  # different texts in one column that are features
_ROUNDING = 1e-12  # of a sum of weights


def categories_of(table: Table, column: int) -> tuple[str, ...]:
    """Return the different texts of a column, sorted.

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
    """Return the samples of a table, shape (rows, features); a text is 1 in its feature.

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
    """Fill each gap with the number that its column has for it; a note has the number of rows.

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
    """Return (place among the chosen columns, feature) of each column of numbers."""
    categories = layout.categories or ((),) * len(layout.chosen or ())
    features = np.cumsum([0, *(len(texts) or 1 for texts in categories)])
    return [(at, int(features[at])) for at, texts in enumerate(categories) if not texts]


def learnt(data: Labelled, train: Array) -> Labelled:
    """Learn from the rows to train on how to fill gaps, and which texts are known; apply both.

    A row of weight w counts as w rows. Rows of weight 0 were left out as the table was read.

    Raises
    ------
    DataError
        If a column is empty in all of these rows.
    """
    layout = data.layout
    notes = list(data.notes)
    x = data.x
    weights = data.weights
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
    """Return the mean or the median of values; a value of weight w counts as w values."""
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
    """Remove the features of texts that no row to train on has."""
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
                unseen = texts[int(np.argmin(seen[span]))] or GAP
                notes.append(
                    f"{data.name}: column {column + 1} holds texts only in held-out rows (first "
                    f"{shown(unseen)!r}): these rows get 0 in all features of this column"
                )
        known.append(tuple(text for text, kept_ in zip(texts, seen[span], strict=False) if kept_))
        feature = span.stop
    if any(texts and not left for texts, left in zip(layout.categories, known, strict=True)):
        raise ConfigurationError(
            f"{data.name}: a column of texts has none in the rows to train on: ignore it"
        )
    return x[:, kept], replace(layout, features=int(kept.sum()), categories=tuple(known))
