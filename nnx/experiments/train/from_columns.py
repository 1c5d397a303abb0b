"""Read a table with columns of any kind: as it is to train on, or encoded for a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from nnx.errors import ConfigurationError, DataError
from nnx.experiments.train import from_tables
from nnx.experiments.train.layout import Labelled, Layout
from nnx.readers.columns import check_size, note_codes
from nnx.readers.form import Reading, find_form
from nnx.readers.table_reader import TableReader, parts_of
from nnx.readers.tables import Table, read_table
from nnx.readers.types import Array
from nnx.tables import TableEncoder
from nnx.tables.files import frame_of_columns
from nnx.tables.frame import CATEGORY, DATE
from nnx.tables.kinds import IGNORED, pair_of

_MANY = 2**31  # different texts: columns of names are read too, and left out later


def labelled_columns(
    file: BinaryIO, name: str, task: str, target: Sequence[str], ignore: Sequence[str],
    weights: str | None, reading: Reading, kinds: Sequence[str], max_bytes: int,
) -> Labelled:  # fmt: skip
    """Read a table as columns of any kind with targets; `learnt_columns` makes samples of them.

    Parameters
    ----------
    kinds : sequence of str
        Texts such as ``"zip=category"``: columns, by name or number, and their kinds.

    Raises
    ------
    DataError, ConfigurationError
        As for `nnx.experiments.train.labelled.load_labelled`.
    """
    check_size(file, name, max_bytes)
    pairs = [pair_of(text) for text in kinds]
    counted = [] if weights is None else [weights]
    given = (*target, *ignore, *counted, *(column for column, _ in pairs))
    names = [part for text in given for part in (text, *parts_of(text))]
    form = find_form(file, name, reading, names, several=True)
    reader = TableReader(file, name, form)
    at, left_out, weight = (reader.places(columns) for columns in (target, ignore, counted))
    from_tables.check_choice(name, task, at, left_out, weight)
    of_kind = {reader.places([column])[0]: kind for column, kind in pairs}
    _check_kinds(name, of_kind, {*at, *weight, *left_out})
    forced = [place for place, kind in of_kind.items() if kind.partition(":")[0] in (CATEGORY, DATE)]
    first = read_table(file, name, form, forced, left_out, max_bytes, max_texts=_MANY)
    features = sorted({*from_tables.features_of(first, {*at, *weight}, bool(of_kind)), *of_kind})
    from_tables.check_texts(first, task, [], at, weight, "onehot")
    texts = [*forced, *(place for place in (*features, *at) if place in first.found)]
    unused = sorted(set(range(first.width)) - {*features, *at, *weight})
    table = read_table(file, name, form, texts, unused, max_bytes, max_texts=_MANY)
    table.notes = first.notes
    from_tables.leave_out_uncounted(table, weight)
    from_tables.drop(table, features, [*at, *weight], "drop" if reading.missing == "drop" else "keep")
    note_codes(table, [place for place in (*features, *at) if place not in table.texts])
    frame = frame_of_columns(table, features)
    layout = Layout(0, table.names(features), tuple(features), table.width)
    found, called = from_tables.targets_in(table, at, [place for place in at if place in table.texts], task)
    named = {
        column.name: of_kind[place]
        for place, column in zip(features, frame.columns, strict=True)
        if place in of_kind
    }
    return Labelled(
        name, found.task, np.empty((frame.rows, 0)), found.y, found.classes, called, layout,
        table.of(weight) if weight else None, tuple(table.notes), frame=frame, kinds=named,
    )  # fmt: skip


def _check_kinds(name: str, kinds: dict[int, str], others: set[int]) -> None:
    if wrong := sorted(others.intersection(kinds)):
        raise ConfigurationError(
            f"{name}: kinds names column {wrong[0] + 1}, which is a target, weights or ignored: leave one out"
        )


def learnt_columns(data: Labelled, train: Array) -> Labelled:
    """Learn from the rows to train on how columns become numbers and codes, and encode all rows.

    Raises
    ------
    DataError
        If a cell cannot be used, or no column is left.
    """
    assert data.frame is not None
    assert data.layout.chosen is not None
    weights = None if data.weights is None else data.weights[train]
    encoder = TableEncoder(kinds=data.kinds).fit(data.frame.take(train), sample_weight=weights)
    used = [at for at, info in enumerate(encoder.columns_) if info.kind != IGNORED]
    if not used:
        raise DataError(
            f"{data.name}: no column is left to learn from: "
            + "; ".join(f"{info.name} {info.why}" for info in encoder.columns_[:5])
        )
    x = encoder.transform(data.frame)
    columns, chosen = data.layout.columns, data.layout.chosen
    layout = replace(
        data.layout,
        features=x.shape[1],
        columns=None if columns is None else tuple(columns[at] for at in used),
        chosen=tuple(chosen[at] for at in used),
        table=encoder.to_record(),
    )
    notes = [
        f"{data.name}: {data.frame.called(column)} {info.why}, so it is left out"
        for column, info in zip(data.frame.columns, encoder.columns_, strict=True)
        if info.why
    ]
    shown = tuple(encoder.rows_of_columns())
    return replace(data, x=x, layout=layout, notes=(*data.notes, *notes), columns=shown)


def table_for(
    file: BinaryIO, name: str, layout: Layout, reading: Reading, max_bytes: int
) -> tuple[Table, list[int], TableEncoder]:
    """Read the columns that a model needs; return them, their places, and the model's encoder."""
    encoder = TableEncoder.from_record(layout.table)
    check_size(file, name, max_bytes)
    several = from_tables.has_several(layout)
    form = find_form(file, name, reading, wanted=layout.columns or (), several=several)
    places = from_tables.places_of(TableReader(file, name, form), name, layout)
    kinds = [info.kind for info in encoder.columns_ if info.kind != IGNORED]
    texts = [at for at, kind in zip(places, kinds, strict=True) if kind in (CATEGORY, DATE)]
    others = sorted(set(range(form.head.width)) - set(places))
    first = read_table(file, name, form, texts, others, max_bytes, max_texts=_MANY)
    if not first.found:
        return first, places, encoder
    table = read_table(file, name, form, [*texts, *first.found], others, max_bytes, max_texts=_MANY)
    table.notes = first.notes
    return table, places, encoder


def inputs_of_columns(
    file: BinaryIO, name: str, layout: Layout, reading: Reading, notes: list[str], max_bytes: int
) -> Array:
    """Read a table, and encode it as in training; notes say what is unusual in it."""
    table, places, encoder = table_for(file, name, layout, reading, max_bytes)
    names = [info.name for info in encoder.columns_ if info.kind != IGNORED]
    frame = frame_of_columns(table, places, names)
    notes += [*table.notes, *encoder.notes(frame)]
    return encoder.transform(frame)
