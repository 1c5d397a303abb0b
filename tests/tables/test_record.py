"""The record of an encoder: JSON, checked when it is read."""

import copy
import json

import numpy as np
import pytest

from nnx.errors import FileFormatError
from nnx.tables import TableEncoder

TABLE = {
    "n": [1.0, None, 3.5, 1 / 3],
    "c": ["a", "b", None, "a"],
    "b": [True, False, True, None],
    "d": ["1.2.2020", "2.3.2021", None, "3.4.2022"],
    "id": [None] * 4,
}


def fitted():
    return TableEncoder(kinds={"c": "category"}, min_rows=1).fit(TABLE)


def test_a_record_gives_the_same_encoder():
    encoder = fitted()
    again = TableEncoder.from_record(json.loads(json.dumps(encoder.to_record())))
    assert again.columns_ == encoder.columns_
    assert again.kinds == {"c": "category"}
    for name in ("cardinalities_", "number_names_", "number_kinds_", "code_names_", "n_features_in_"):
        assert getattr(again, name) == getattr(encoder, name), name
    np.testing.assert_array_equal(again.transform(TABLE), encoder.transform(TABLE))
    assert again.to_record() == encoder.to_record()


def changes(value, path=()):
    """Every value in a record, with its place."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from changes(inner, (*path, key))


@pytest.mark.parametrize("wrong", [None, -1, "x", float("nan"), [], {}, 10**400], ids=repr)
def test_damaged_records_are_refused_or_change_a_harmless_value(wrong):
    record = fitted().to_record()
    for path in changes(record):
        damaged = copy.deepcopy(record)
        place = damaged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = wrong
        try:
            made = TableEncoder.from_record(damaged)
        except FileFormatError:
            continue
        assert np.isfinite(made.encode({**TABLE, "x": [None] * 4, "": [None] * 4})[0]).all(), path


@pytest.mark.parametrize(
    "record", [None, [], {}, {"version": 2}, {"version": 1}, {"version": 1, "columns": 3}]
)
def test_no_record(record):
    with pytest.raises(FileFormatError, match="record of a table's columns is damaged"):
        TableEncoder.from_record(record)
