"""The names of columns are told apart from rows of data, and no first row of data is lost."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_tables import body, here, read, written  # noqa: F401

from nnx.experiments.train.labelled import load_inputs


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
