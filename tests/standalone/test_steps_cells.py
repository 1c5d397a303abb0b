"""The cells of a table in a stand-alone file."""

from __future__ import annotations

import pytest

from nnx.readers.cells import GAPS_IN_TEXT
from nnx.standalone import steps_cells


def test_empty_cells_are_those_of_the_reader():
    assert set(steps_cells.EMPTY) == GAPS_IN_TEXT
    columns = [("a", [], 2.0), ("b", ["", "x"], None)]
    assert steps_cells.features({"a": "?", "b": "x"}, columns) == [2.0, 0.0, 1.0]
    assert steps_cells.features({"a": 1, "b": None}, columns) == [1, 1.0, 0.0]
    assert steps_cells.features([1, 2, 3], columns) == [1, 2, 3]


def test_a_cell_without_a_number_is_refused():
    for row, said in (({}, "no column 'a'"), ({"a": "NA"}, "'a' is empty")):
        with pytest.raises(ValueError, match=said):
            steps_cells.features(row, [("a", [], None)])
