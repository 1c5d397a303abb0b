"""Tables of pandas, polars and Arrow, mappings, arrays and lists become the same columns."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from nnx.errors import DataError
from nnx.tables.frames import frame_of

DAYS = [datetime.datetime(2020, 1, 2, 3, 4), None, datetime.datetime(2021, 5, 6)]
CELLS = {
    "whole": [1, None, 3],
    "real": [0.5, float("nan"), None],
    "truth": [True, None, False],
    "text": ["a", None, ""],
    "day": DAYS,
}
TYPES = {"whole": "number", "real": "number", "truth": "boolean", "text": "text", "day": "date"}


def of_pandas():
    return pd.DataFrame(
        {
            "whole": pd.Series(CELLS["whole"], dtype="Int64"),
            "real": CELLS["real"],
            "truth": pd.Series(CELLS["truth"], dtype="boolean"),
            "text": CELLS["text"],
            "day": pd.to_datetime(DAYS),
        }
    )


def of_arrow():
    arrow = pytest.importorskip("pyarrow")
    return arrow.table({name: arrow.array(cells) for name, cells in CELLS.items()})


def of_arrow_batch():
    return of_arrow().to_batches()[0]


def of_objects():
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in CELLS.items()})


def of_polars():
    return pl.DataFrame(CELLS, strict=False)


@pytest.mark.parametrize(
    "make",
    [of_pandas, of_objects, of_polars, of_arrow, of_arrow_batch, lambda: CELLS],
    ids=lambda f: f.__name__,
)
def test_all_libraries_give_the_same_columns(make):
    frame = frame_of(make())
    assert {column.name: column.type for column in frame.columns} == TYPES
    cells = {column.name: column.cells.tolist() for column in frame.columns}
    np.testing.assert_array_equal(cells["whole"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(cells["real"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(cells["truth"], [1.0, np.nan, 0.0])
    assert cells["text"] == ["a", None, None]
    assert cells["day"] == DAYS


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_categories_of_a_library_stay_categories(library):
    if library == "pandas":
        table = pd.DataFrame({"c": pd.Series(["x", None, "y"], dtype="category")})
    elif library == "polars":
        table = pl.DataFrame({"c": pl.Series(["x", None, "y"], dtype=pl.Categorical)})
    else:
        arrow = pytest.importorskip("pyarrow")
        table = arrow.table({"c": arrow.array(["x", None, "y"]).dictionary_encode()})
    (column,) = frame_of(table).columns
    assert (column.type, column.cells.tolist()) == ("category", ["x", None, "y"])


def test_a_time_zone_is_dropped_and_its_clock_kept():
    zoned = pd.DataFrame({"t": pd.to_datetime(["2020-07-01 12:00"]).tz_localize("Europe/Berlin")})
    wanted = datetime.datetime(2020, 7, 1, 12)
    for table in (zoned, pl.DataFrame({"t": pl.Series([wanted]).dt.replace_time_zone("Europe/Berlin")})):
        assert frame_of(table).columns[0].cells.tolist() == [wanted]


def test_durations_are_seconds():
    hour = datetime.timedelta(hours=1)
    for table in (pd.DataFrame({"t": [hour]}), pl.DataFrame({"t": [hour]}), {"t": [hour]}):
        (column,) = frame_of(table).columns
        assert (column.type, column.cells.tolist()) == ("number", [3600.0])


def test_arrays_and_rows_have_columns_without_names():
    frame = frame_of([[1, "a"], [2, "b"]])
    assert not frame.named
    assert [(column.name, column.type) for column in frame.columns] == [
        ("column 1", "number"),
        ("column 2", "text"),
    ]
    assert frame_of(np.array([[True], [False]])).columns[0].type == "boolean"


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"a": [1], "b": [1, 2]}, "equally long"),
        ({}, "no columns"),
        ([[1, 2], [3]], "different lengths"),
        ([1, 2], "Expected 2D array, got 1D"),
        ({"a": [[1]]}, r"row 0 .*column a: holds a list"),
        ({"a": [1, 2, {}]}, r"row 2 .*holds a dict"),
        (np.array([[1j]]), "Complex data not supported"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns are called 'a'"),
        (pl.LazyFrame({"a": [1]}), "collect"),
        (pd.DataFrame({"a": [1j]}), "Complex data not supported"),
    ],
)
def test_what_is_no_table_is_refused(table, text):
    with pytest.raises(DataError, match=text):
        frame_of(table)


@pytest.mark.parametrize("masked", [2.0, "b"])
def test_a_masked_cell_is_missing(masked):
    """Its value, which NumPy still has, is not read."""
    first = "a" if isinstance(masked, str) else 1.0
    column = np.ma.array([first, masked, first], mask=[False, True, False])
    frames = (
        frame_of({"c": column}),
        frame_of(np.ma.array([[first], [masked], [first]], mask=[[0], [1], [0]])),
    )
    expected = frame_of({"c": [first, None, first]}).columns[0]
    for frame in frames:
        assert frame.columns[0].type == expected.type
        np.testing.assert_array_equal(frame.columns[0].cells, expected.cells)


@pytest.mark.parametrize("cells", ["abc", 5, b"ab"])
def test_a_mapping_has_lists_of_cells(cells):
    with pytest.raises(DataError, match=r"column a is .*: give a list of its cells"):
        frame_of({"a": cells})
