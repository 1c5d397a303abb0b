"""Columns and their types: gaps, texts of cells, and what errors call a cell."""

import numpy as np
import pytest

from nnx.errors import ConfigurationError
from nnx.tables.frame import Column, Frame, nones, number_as_text, texts_of


def test_gaps_are_found_in_each_type_of_column():
    columns = [
        Column("n", "number", np.array([1.0, np.nan])),
        Column("b", "boolean", np.array([0.0, np.nan])),
        Column("d", "date", np.array(["2020-01-01", "NaT"], "datetime64[us]")),
        Column("t", "text", np.array(["a", None], object)),
    ]
    assert [column.missing().tolist() for column in columns] == [[False, True]] * 4
    assert nones(np.array([None, "None"], object)).tolist() == [True, False]


def test_a_value_has_the_same_text_however_it_is_stored():
    assert texts_of(Column("n", "number", np.array([3.0, 0.5, np.nan]))).tolist() == ["3", "0.5", None]
    assert texts_of(Column("b", "boolean", np.array([1.0, 0.0]))).tolist() == ["true", "false"]
    day = Column("d", "date", np.array(["2020-02-03", "NaT"], "datetime64[us]"))
    assert texts_of(day).tolist() == ["2020-02-03", None]


@pytest.mark.parametrize(("number", "text"), [(-2.0, "-2"), (1e20, "1e+20"), (0.1, "0.1")])
def test_numbers_as_texts(number, text):
    assert number_as_text(number) == text


def test_some_rows_are_called_by_their_places_in_the_table():
    column = Column("column 2", "text", np.array(["a", "b", "c", None], object))
    frame = Frame((column,), 4, named=False, where="t.csv", row="line {}".format).take(np.array([1, 3]))
    assert frame.shape == (2, 1)
    assert frame.columns[0].cells.tolist() == ["b", None]
    assert str(frame.fault(frame.columns[0], 1, "is odd")) == "t.csv: line 3, column 2: is odd"


def test_an_error_names_row_and_column():
    column = Column("age", "number", np.zeros(3))
    assert (
        str(Frame((column,), 3).fault(column, 2, "is odd")) == "X: row 2 (counted from 0), column age: is odd"
    )


def test_a_table_is_split_into_samples_and_targets():
    columns = tuple(Column(name, "number", np.arange(2.0) + at) for at, name in enumerate("abc"))
    frame = Frame(columns, 2)
    x, y = frame.split("b")
    assert [column.name for column in x.columns] == ["a", "c"]
    assert y.tolist() == [1.0, 2.0]
    assert frame.split("c", "a")[1].tolist() == [[2.0, 0.0], [3.0, 1.0]]
    with pytest.raises(ConfigurationError, match="X: has no column 'd'"):
        frame.split("d")
