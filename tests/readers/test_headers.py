"""What names the columns and the rows of a table, and what is data."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from support.own_tables import here, read, refused, written  # noqa: F401

import nnx
from nnx.datasets import load_arrays
from nnx.experiments.train.labelled import load_inputs, load_labelled
from nnx.experiments.train.layout import Layout


def body(rows=40, columns=12, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, columns)).round(3)
    return x, "".join(",".join(map(str, row)) + "\n" for row in x)


@pytest.mark.parametrize(
    "names",
    [
        [str(400 + 2 * i) for i in range(12)],
        [str(4000 - 8 * i) for i in range(12)],
        [str(i) for i in range(12)],
        [str(1990 + i) for i in range(12)],
        [f"{400.12 + 1.9 * i + 0.01 * i * i:.2f}" for i in range(12)],
        [*map(str, range(400, 411)), "digit"],
        ["p"] * 12,
    ],
    ids=["wavelengths", "wave numbers", "pandas", "years", "uneven", "a text among them", "one name"],
)
def test_numbers_that_name_columns_are_no_row(names):
    x, rows = body()
    found = read(",".join(names) + "\n" + rows, ())
    np.testing.assert_array_equal(found.x, x)
    again, _ = load_inputs(written(",".join(names) + "\n" + rows.split("\n")[0]), found.layout)
    np.testing.assert_array_equal(again, x[:1])


@pytest.mark.parametrize(
    "data",
    ["5,1\n6,0\n7,1\n", "0,1\n1,0\n0,1\n", "1,2,3\n4,5,6\n7,8,9\n", "3.5,red\n2.5,blue\n1.5,red\n",
     "red,small\nblue,tall\nred,tall\nblue,small\n", "TRUE,1\nFALSE,2\n", "5\n3\n4\n"],
)  # fmt: skip
def test_a_first_row_of_data_is_kept(data):
    found = read(data, ("-1",) if "r" in data else (), header="auto", categories="onehot")
    assert len(found.x) == data.count("\n")


@pytest.mark.parametrize(
    "data",
    ["0,1,2\n5.5,3.25,1\n4.0,4.5,4\n", "0,1,2\n150,230,1\n170,255,4\n", "0,1,2\n5,?,-1.5e3\n4,.5,0.0\n",
     ",0,1,2\n8,5,3,1\n3,4,4,4\n", ",0\n8,5\n3,4\n",
     ",".join(map(str, range(12))) + "\n" + "5,3,1,2,7,7,9,0,0,1,2,3\n" * 5],
)  # fmt: skip
def test_numbers_from_0_on_are_names_where_they_can_hardly_be_a_row(data):
    assert len(read(data, (), missing="mean").x) == data.count("\n") - 1
    assert len(read(data, (), missing="mean", header="no").x) == data.count("\n")


def test_names_of_texts_alone_and_names_of_one_row():
    found = read("colour,size,kind\nred,small,a\nblue,tall,b\nred,tall,a\n", categories="onehot")
    assert found.layout.names() == ("colour=blue", "colour=red", "size=small", "size=tall")
    assert read("a,b\n1,2\n", ()).x.tolist() == [[1, 2]]


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


def test_totals_are_left_out_and_nothing_else():
    x, rows = body(6, 3)
    x = np.abs(x) + 1.0
    rows = "".join(",".join(map(str, row)) + "\n" for row in x)
    last = ",".join(map(repr, x.sum(axis=0).tolist()))
    found = read("a,b,c\n" + rows + last, ())
    np.testing.assert_array_equal(found.x, x)
    assert "line 8 holds totals" in found.notes[0]
    both = read("a,b,y\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n", ("y",))  # whose last row is the sum of the others
    assert len(both.x) == 4
    found = read("name,a,b\nx,1,3\nTotal,2,5\ny,4,8\n", (), "auto", ("name",))
    assert len(found.x) == 3
    assert "'Total'" in found.notes[0]
    assert "(line 3)" in found.notes[0]


@pytest.mark.parametrize("given", ["price, EUR", '"price, EUR"', r"price\, EUR", "3", "-1"])
def test_a_name_with_a_comma(given):
    data = '"area, m2",rooms,"price, EUR"\n1,2,30.5\n4,5,60\n'
    found = read(data, (given,))
    assert (found.targets, found.y.tolist()) == (("price, EUR",), [[30.5], [60.0]])
    two = read(data, (f'{given},"area, m2"' if given != "price, EUR" else '3,"area, m2"',))
    assert two.targets == ("price, EUR", "area, m2")


def test_a_column_named_twice_is_told_apart_and_not_taken_by_name():
    found = read("a,a,kind\n1,2,x\n3,4,y\n")
    assert found.layout.columns == ("a", "a.1")
    assert "several columns are called 'a'" in found.notes[0]
    turned, _ = load_inputs(written("kind,a,more,a\nx,1,9,2\ny,3,9,4\n"), found.layout)
    np.testing.assert_array_equal(turned, found.x)
    assert "several columns are called 'a': give its number" in refused("a,a\n1,2\n3,4\n", ("a",))
