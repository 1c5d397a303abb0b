"""Columns are found by name or number, also if names hold commas or are given twice."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_tables import here, read, refused, written  # noqa: F401

from nnx.experiments.train.labelled import load_inputs


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
