"""Cells are read as the numbers that they are, also with decimal commas."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_tables import here, read, written  # noqa: F401

import nnx
from nnx.datasets import load_arrays
from nnx.experiments.train.labelled import Reading, load_inputs, load_labelled
from nnx.experiments.train.layout import Layout
from nnx.readers.cells import number

ONE_COLUMN = {
    "under a name": "price\n63,7\n26,5\n1,0\n",
    "under a title and a name": "Prices 2024\nprice\n63,70\n-26,98\n",
    "with thousands": "price\n1.234,50\n26,98\n",
    "among whole numbers": "63,75\n12\n26,5\n",
    "two places each": "63,70\n26,98\n4,10\n",
    "places that begin with 0": "63,75\n26,05\n4,1\n",
    "places without a 0 at the end": "1,5\n2,5\n3,25\n",
}


@pytest.mark.parametrize("what", ONE_COLUMN)
def test_one_column_of_decimal_commas_is_not_taken_for_two(what):
    data = ONE_COLUMN[what]
    numbers = [line for line in data.splitlines() if line[0] in "-0123456789"]
    right = [[float(line.replace(".", "").replace(",", "."))] for line in numbers]
    np.save("x.npy", np.ones((len(right), 3)))
    path = written(data)
    for task in ("auto", "regression"):
        with pytest.raises(nnx.ConfigurationError, match=r"--decimal , .* or --delimiter comma"):
            load_labelled("x.npy", task, [path])
    for call in (load_arrays, load_labelled, lambda path: load_inputs(path, Layout(1, None, (0,), 2))):
        with pytest.raises(nnx.ConfigurationError, match="one number with a decimal comma, or two columns"):
            call(path)
    for how in (Reading(decimal=","), Reading(delimiter=";")):
        found = load_labelled("x.npy", "regression", [path], how=how)
        np.testing.assert_array_equal(found.y, right)
        np.testing.assert_array_equal(load_labelled(path, how=how).x, right)
        np.testing.assert_array_equal(load_inputs(path, Layout(1), how=how)[0], right)
        assert not any("delimiter" in note for note in found.notes)


def test_two_columns_of_whole_numbers_are_two_where_that_is_known_or_likely():
    data = "Survey\n63,70\n26,98\n"
    np.testing.assert_array_equal(read(data, (), delimiter="comma").x, [[63, 70], [26, 98]])
    assert read(data, ("2",), "regression").y.tolist() == [[70], [98]]
    x, _ = load_inputs("t.csv", Layout(2))
    np.testing.assert_array_equal(x, [[63, 70], [26, 98]])
    for data in (
        "5,1\n6,0\n7,1\n",
        "1,9\n2,10\n3,11\n",
        "63, 70\n26, 98\n",
        "5,\n6,\n",
        "a,b\n63,70\n26,98\n",
    ):
        found = read(data, ())
        assert found.layout.width == 2
        asked = "--decimal ," in " ".join(found.notes)
        assert asked == (data[:3] in ("5,1", "1,9"))


@pytest.mark.parametrize(
    ("cell", "point", "comma", "unknown"),
    [
        ("12", 12.0, 12.0, 12.0),
        ("-0.5e3", -500.0, None, -500.0),
        ("1.234", 1.234, 1234.0, None),
        ("1,234", 1234.0, 1.234, None),
        ("1,234.5", 1234.5, None, None),
        ("1 234,5", None, 1234.5, None),
        ("1'234", 1234.0, 1234.0, 1234.0),
        ("12,34", None, 12.34, None),
        ("1_000", None, None, None),
        ("nan", None, None, None),
        ("red", None, None, None),
    ],
)
def test_the_number_in_a_cell_depends_on_the_decimal_mark(cell, point, comma, unknown):
    assert [number(cell, mark) for mark in (".", ",", "")] == [point, comma, unknown]
