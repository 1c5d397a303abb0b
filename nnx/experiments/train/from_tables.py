"""Read a table as samples with targets, or as samples for a trained model."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from nnx.errors import ConfigurationError, DataError, shown
from nnx.experiments.train.features import categories_of, filled, matrix
from nnx.experiments.train.layout import Labelled, Layout
from nnx.experiments.train.row_weights import check_weights, note_on_zeros
from nnx.experiments.train.targets import Targets, targets_of
from nnx.readers.columns import (
    COUNTING,
    INDEX,
    check_size,
    counts_rows,
    gaps_in,
    is_index,
    is_unnamed,
    listed,
    note_codes,
    note_left_out,
    refuse_features,
    refuse_gaps,
    refuse_mistyped,
    refuse_texts,
    tells_apart,
)
from nnx.readers.form import Form, Reading, find_form
from nnx.readers.table_reader import TableReader, parts_of
from nnx.readers.tables import Table, read_table
from nnx.readers.types import Array


def labelled_table(
    file: BinaryIO, name: str, task: str, target: Sequence[str], ignore: Sequence[str],
    weights: str | None, reading: Reading, max_bytes: int,
) -> Labelled:  # fmt: skip
    """Read a table as samples with targets; see `nnx.experiments.train.labelled.load_labelled`."""
    check_size(file, name, max_bytes)
    counted = [] if weights is None else [weights]
    named = [part for text in (*target, *ignore, *counted) for part in (text, *parts_of(text))]
    form = find_form(file, name, reading, named, several=bool(named))
    reader = TableReader(file, name, form)
    at, left_out, weight = (reader.places(given) for given in (target, ignore, counted))
    check_choice(name, task, at, left_out, weight)
    alone = not at and reading.categories != "onehot"
    table = read_table(file, name, form, ignore=left_out, max_bytes=max_bytes, numbers_only=alone)
    features = features_of(table, {*at, *weight})
    texts = [column for column in features if column in table.found]
    labels = [column for column in at if column in table.found]
    check_texts(table, task, texts, at, weight, reading.categories)
    if texts or labels:  # again, because now we know which columns hold texts
        unused = sorted(set(range(table.width)) - {*features, *at, *weight})
        notes = table.notes
        table = read_table(file, name, form, [*texts, *labels], unused, max_bytes)
        table.notes = notes
    leave_out_uncounted(table, weight)
    drop(table, features, [*at, *weight], reading.missing)
    note_codes(table, [column for column in (*features, *at) if column not in table.texts])
    layout = _layout(table, features, texts)
    x = matrix(table, layout, table.notes)
    counts = table.of(weight) if weight else None
    notes_ = tuple(table.notes)
    if not at:
        return Labelled(name, "autoencoding", x, None, (), (), layout, counts, notes_, reading.missing)
    found, called = targets_in(table, at, labels, task)
    return Labelled(
        name, found.task, x, found.y, found.classes, called, layout, counts, notes_, reading.missing
    )


def targets_in(table: Table, at: list[int], labels: list[int], task: str) -> tuple[Targets, tuple[str, ...]]:
    """Return the targets and their names."""
    names = table.names(at) or ()
    y: Array = np.array(table.texts[labels[0]]) if labels else table.of(at)
    if not labels and set(at) <= table.truths:
        y = y.astype(bool)
    found = targets_of(y, task, table.name, listed(table, at), names)
    return found, found.called(names)


def check_texts(
    table: Table, task: str, texts: list[int], at: list[int], weight: list[int], categories: str
) -> None:
    """Refuse columns of text where numbers are needed."""
    refuse_features(table, texts, onehot=categories == "onehot", learn=not at and task == "auto")
    labels = [column for column in at if column in table.found]
    if task == "regression":
        refuse_mistyped(table, labels)
        refuse_texts(table, labels, ": is it classification?")
    if len(at) > 1 and labels:
        raise ConfigurationError(f"{table.name}: classification has one target, but {len(at)} are named")
    refuse_mistyped(table, [column for column in weight if column in table.found])
    refuse_texts(table, [column for column in weight if column in table.found], ": weights are numbers")


def check_choice(name: str, task: str, at: list[int], left_out: list[int], weight: list[int]) -> None:
    """Refuse columns and a task that do not fit each other."""
    if task == "autoencoding" and at:
        raise ConfigurationError(f"{name}: autoencoding has no target: leave columns out by ignore")
    if task not in ("auto", "autoencoding") and not at:
        raise ConfigurationError(f"{name}: {task} needs a target: name its column")
    if len(set(at)) < len(at):
        raise ConfigurationError(f"{name}: target names a column twice: leave one of the names out")
    if len(weight) > 1:
        raise ConfigurationError(f"{name}: weights are one column, but {len(weight)} are named")
    for one, other, columns, others in (
        ("target", "ignore", at, left_out),
        ("target", "weights", at, weight),
        ("weights", "ignore", weight, left_out),
    ):
        if set(columns).intersection(others):
            raise ConfigurationError(f"{name}: a column is named by {one} and by {other}: leave one out")


def features_of(table: Table, targets: set[int], others: bool = False) -> list[int]:
    """Return the columns with features: all except targets, an index, and empty columns.

    Notes say what is left out. There may be none if there are `others`.
    """
    features, index, empty = [], [], []
    nothing = set(np.asarray(table.chosen)[np.isnan(table.numbers).all(axis=0)].tolist())
    for column in table.chosen:
        if column in targets:
            continue
        if is_index(table, column):
            index.append(column)
        elif column in nothing and column not in table.found:
            empty.append(column)
        else:
            features.append(column)
    note_left_out(table, index, INDEX)
    note_left_out(table, empty, "holds nothing")
    if not features and others:
        return []
    if not features:
        raise DataError(f"{table.name}: no column is left for the samples")
    if why := _like_an_index(table, features[0]):
        table.notes.append(
            f"{table.name}: {table.called(features[0])} {why}: if it is an index, leave it out by "
            f"--ignore {features[0] + 1}"
        )
    elif features[0] == 0 and is_unnamed(table, 0):
        table.notes.append(
            f"{table.name}: column 1 has no name: if it is an index, leave it out by --ignore 1"
        )
    return features


def _like_an_index(table: Table, column: int) -> str:
    """Return why a feature may be an index; empty if nothing suggests it."""
    if table.columns is None:
        return "counts the rows" if counts_rows(table, column) else ""
    called = table.columns[column].lower() in COUNTING and column not in table.found
    return "differs in every row" if called and tells_apart(table, column) else ""


def leave_out_uncounted(table: Table, weight: list[int]) -> None:
    """Leave out rows of weight 0, which may hold anything.

    Raises
    ------
    DataError
        If a weight is negative, or all are 0.
    """
    if not weight:
        return
    counts = table.of(weight)[:, 0]
    known = np.where(np.isnan(counts), 1.0, counts)  # `drop` sees to gaps
    check_weights(known, len(counts), table.name, lambda row: f"line {table.lines[row]}")
    if not counts.all():
        table.notes.extend(note_on_zeros(counts, table.name))
        table.rows(counts != 0.0)


def drop(table: Table, features: list[int], targets: list[int], missing: str) -> None:
    """Leave out rows with gaps that are not filled, or refuse them."""
    remedy = ": leave such rows out by --missing drop"
    if missing == "error":
        refuse_gaps(table, [*features, *targets], remedy + ", or fill them by --missing mean or median")
        return
    gaps = gaps_in(table, [*features, *targets] if missing == "drop" else targets)
    if gaps.all():
        refuse_gaps(table, [*features, *targets], "; no row is without one: leave columns out by --ignore")
    if gaps.any():
        what = "empty cells" if missing == "drop" else "no target or no weight"
        table.notes.append(
            f"{table.name}: {np.count_nonzero(gaps):,} of {len(gaps):,} rows have {what}: they are left out"
        )
        table.rows(~gaps)


def _layout(table: Table, features: list[int], texts: list[int]) -> Layout:
    categories = None
    count = len(features)
    if texts:
        categories = tuple(categories_of(table, at) if at in table.texts else () for at in features)
        count = sum(len(found) or 1 for found in categories)
        table.notes.append(
            f"{table.name}: {listed(table, texts)}: each of {count - len(features) + len(texts)} texts is a "
            "feature"
        )
    return Layout(count, table.names(features), tuple(features), table.width, categories=categories)


# ------------------------------------------------------------------------------- tables for a trained model


def inputs_of_table(
    file: BinaryIO, name: str, layout: Layout, reading: Reading, notes: list[str], max_bytes: int
) -> Array:
    """Read the samples of a table in the form of the training data."""
    table, places = table_for(file, name, layout, reading, max_bytes)
    notes += table.notes
    if layout.categories is None and len(places) != layout.features:
        return table.of(places)  # refused later by its width, like other files
    here = replace(layout, chosen=tuple(places))
    return filled(table, matrix(table, here, notes), here, notes)


def table_for(
    file: BinaryIO, name: str, layout: Layout, reading: Reading, max_bytes: int
) -> tuple[Table, list[int]]:
    """Read a table, and return the places of the columns that a network needs."""
    check_size(file, name, max_bytes)
    form = find_form(file, name, reading, wanted=layout.columns or (), several=has_several(layout))
    places = places_of(TableReader(file, name, form), name, layout)
    texts = [at for at, known in zip(places, layout.categories or (), strict=False) if known]
    others = sorted(set(range(form.head.width)) - set(places))
    table = read_table(file, name, form, texts, others, max_bytes, numbers_only=True)
    refuse_texts(table, sorted(table.found), ": the network was trained on numbers there")
    return table, places


def has_several(layout: Layout) -> bool:
    """Return whether a table for a network has several columns, with or without the target."""
    return (len(layout.chosen) if layout.chosen else layout.features) > 1


def places_of(reader: TableReader, name: str, layout: Layout) -> list[int]:
    """Return the places of the columns that a network needs: by name if both have names."""
    wanted, chosen = layout.columns or (), layout.chosen or ()
    if wanted and reader.columns is not None:
        at = {column: place for place, column in enumerate(reader.columns)}
        if len(reader.unnamed) == 1:  # version 0.1 called a column without a name ""
            at |= dict.fromkeys([""], *reader.unnamed)
        lacking = [column for column in wanted if column not in at]
        if not lacking:
            return [at[column] for column in wanted]
        if len(lacking) < len(wanted) or reader.width != len(wanted):
            raise ConfigurationError(f"{name}: {_lacking(lacking, wanted, reader.columns)}")
        raise ConfigurationError(
            f"{name}: has none of the columns' names that the network was trained on "
            f"({_some(wanted)}); it has {_some(reader.columns)}: name them so, or leave the names out "
            "(--header no)"
        )
    if chosen and reader.width == layout.width:
        return list(chosen)
    if chosen and reader.width != len(chosen):
        raise DataError(
            f"{name}: has {reader.width} columns, but the network was trained on {len(chosen)} of a table of "
            f"{layout.width}: give columns their names, or as many as there were"
        )
    return list(range(reader.width))


def _lacking(lacking: Sequence[str], wanted: Sequence[str], columns: Sequence[str]) -> str:
    """Name the columns that a model needs and a table lacks, and the columns of the table."""
    of = " of those the network was trained on" if len(lacking) > 1 else ""
    text = f"has no column {_some(lacking)}{of}; it has {_some(columns)}"
    free = [column for column in columns[:100] if column not in wanted]  # the others are inputs
    near = difflib.get_close_matches(lacking[0], free, n=1, cutoff=0.75)
    return f"{text}: did you mean {shown(near[0])!r}?" if near else text


def _some(names: Sequence[str]) -> str:
    """List up to ten names."""
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return ", ".join(repr(shown(name)) for name in names[:10]) + more


# ---------------------------------------------------------------------------- targets in a separate file


def targets_of_table(
    file: BinaryIO, name: str, rows: int, reading: Reading, notes: list[str], max_bytes: int
) -> tuple[Array, tuple[str, ...]]:
    """Read targets from a separate file with this many rows; return them and their names."""
    check_size(file, name, max_bytes)
    form = find_form(file, name, reading)
    table = read_table(file, name, form, max_bytes=max_bytes)
    if len(table.lines) == rows + 1 and form.head.columns is None and reading.header == "auto":
        form = _with_names(file, name, reading)
        table = read_table(file, name, form, max_bytes=max_bytes)
        table.notes.append(f"{name}: line 1 is taken as a name: there is one line more than samples")
    columns = features_of(table, set()) if table.width > 1 else table.chosen
    texts = [at for at in columns if at in table.found]
    if texts and len(columns) > 1:
        refuse_texts(table, texts, ": targets are one column of texts, or columns of numbers")
    if texts:
        found = table.notes
        table = read_table(
            file, name, form, texts, [at for at in range(table.width) if at not in texts], max_bytes
        )
        table.notes = found
    refuse_gaps(table, columns, ": fill them in")
    notes += table.notes
    if texts:
        return np.array(table.texts[texts[0]]), ()
    y = table.of(columns)
    return y.astype(bool) if set(columns) <= table.truths else y, table.names(columns) or ()


def _with_names(file: BinaryIO, name: str, reading: Reading) -> Form:
    return find_form(file, name, replace(reading, header="yes"))
