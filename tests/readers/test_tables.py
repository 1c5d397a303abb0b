"""Every row of data is read, and lines of totals are left out."""

from __future__ import annotations

import numpy as np
from support.own_tables import body, here, read  # noqa: F401


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
