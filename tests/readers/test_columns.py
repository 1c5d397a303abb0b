"""A column that only counts or names the rows is left out, and no other column is."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from support.own_tables import here, read, written  # noqa: F401

import nnx
from nnx.datasets import load_arrays
from nnx.experiments.train.labelled import load_inputs, load_labelled
from nnx.experiments.train.layout import Layout


def test_what_only_counts_or_names_the_rows_is_left_out():
    frame = pandas.DataFrame({"a": [1.5, 2.5, 4.0], "b": [7.0, 8.0, 5.0]})
    frame.to_csv("pandas.csv")
    found = load_labelled("pandas.csv")
    np.testing.assert_array_equal(found.x, frame)
    assert "column 1 (column 1) only counts or names the rows" in found.notes[0]
    r = '"a" "b"\n"Mazda RX4" 1.5 7\n"Datsun 710" 2.5 8\n"Fiat 128" 4 5\n'  # write.table of R
    found = read(r, ())
    np.testing.assert_array_equal(found.x, frame)
    assert found.layout.columns == ("a", "b")
    found = read("Id,a\n1,5\n2,7\n3,6\n", ())
    np.testing.assert_array_equal(found.x, [[5], [7], [6]])
    found = read("Unnamed: 0,a\n7,5\n1,7\n4,6\n", ())  # shuffled, or some of many
    np.testing.assert_array_equal(found.x, [[5], [7], [6]])
    found = read(",a\n7,5\n7,7\n4,6\n", ())
    assert found.layout.columns == ("column 1", "a")
    assert "column 1 has no name: if it is an index, leave it out by --ignore 1" in found.notes[-1]
    found = read("id,a\n842,5\n17,7\n99,6\n", ())
    assert found.layout.columns == ("id", "a")
    assert "column 1 (id) differs in every row: if it is an index" in found.notes[-1]
    found = read("time,a\n0,5\n1,7\n2,6\n", ())  # counts, but is not called so
    assert found.layout.columns == ("time", "a")
    found = read("0,5.5\n1,7\n2,6\n", ())
    assert "counts the rows: if it is an index, leave it out by --ignore 1" in found.notes[0]
    with pytest.warns(UserWarning, match="only counts or names the rows"):
        np.testing.assert_array_equal(load_arrays("pandas.csv"), frame)


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_the_index_of_rows_that_were_shuffled_or_chosen_is_left_out(rows):
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=["a", "b", "t"])
    frame = frame.sample(rows, random_state=1)
    frame.to_csv("t.csv")
    pandas.read_csv("t.csv").to_csv("again.csv", index=False)  # calls the index Unnamed: 0
    for path in ("t.csv", "again.csv"):
        found = load_labelled(path, "regression", ["t"])
        assert found.layout.columns == ("a", "b")
        np.testing.assert_array_equal(found.x, frame[["a", "b"]])
        assert "column 1 (" in found.notes[-1]
        assert "only counts or names the rows, so it is left out" in found.notes[-1]
    with pytest.warns(UserWarning, match="only counts or names the rows"):
        np.testing.assert_array_equal(load_arrays("t.csv"), frame.astype(np.float32))


@pytest.mark.parametrize("first", [(7, 3, 7), (0.5, 3, 7)])
def test_a_first_column_without_a_name_that_tells_no_rows_apart_is_kept_with_a_note(first):
    found = read(",a\n" + "".join(f"{v},{k}\n" for k, v in enumerate(first)), ())
    np.testing.assert_array_equal(found.x[:, 0], first)
    assert "column 1 has no name: if it is an index, leave it out by --ignore 1" in found.notes[-1]
    assert found.layout.columns == ("column 1", "a")
    assert read("u,a\n5,1\n3,2\n9,4\n", ()).layout.columns == ("u", "a")  # a name says that it counts


def test_a_model_of_version_0_1_takes_the_column_without_a_name_that_it_was_trained_on():
    layout = Layout(3, ("", "a", "b"), (0, 1, 2), 4)
    for heads, x in (",a,b,y", [[5, 1, 2], [3, 4, 6]]), ("a,,b,y", [[1, 5, 2], [4, 3, 6]]):
        found, _ = load_inputs(written(f"{heads}\n5,1,2,0\n3,4,6,0\n"), layout)
        np.testing.assert_array_equal(found, x)
    for heads in ("a,b,y,c", ",,a,b"):
        with pytest.raises(nnx.ConfigurationError, match="has no column ''"):
            load_inputs(written(f"{heads}\n5,1,2,0\n3,4,6,0\n"), layout)
