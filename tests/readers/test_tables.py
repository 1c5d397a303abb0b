"""Every row of data is read, and lines of totals are left out."""

from __future__ import annotations

import numpy as np
from support.own_tables import body, here, read, written  # noqa: F401

from nnx.readers.form import find_form
from nnx.readers.opening import reading
from nnx.readers.tables import read_mixed


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


def test_columns_are_numbers_or_texts_as_their_cells_are():
    name = written("id,n,t,b\n007,1,x,TRUE\n8,,2,FALSE\ntotal,1,x,\n")
    with reading(name) as file:
        table = read_mixed(file, name, find_form(file, name), texts=[0])
    assert table.texts == {0: ["007", "8"], 2: ["x", "2"]}  # also where one text is a number
    np.testing.assert_array_equal(table.of([1, 3]), [[1.0, 1.0], [np.nan, 0.0]])
    assert table.truths == {3}
    assert [note for note in table.notes if "totals" in note]  # once, although the file is read twice
    assert len(table.notes) == 1
