"""The type of a column, by the values in it."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from nnx.tables.values import column_of_values


@pytest.mark.parametrize(
    ("values", "type_", "cells"),
    [
        ([1, 2.5, Decimal("3"), Fraction(1, 2), np.float32(4)], "number", [1.0, 2.5, 3.0, 0.5, 4.0]),
        ([True, np.False_], "boolean", [1.0, 0.0]),
        (["a", " b "], "text", ["a", "b"]),
        ([1, "a", True, 2.5], "text", ["1", "a", "true", "2.5"]),
        ([datetime.date(2020, 1, 2)], "date", [datetime.datetime(2020, 1, 2)]),
        ([np.datetime64("2020-01")], "date", [datetime.datetime(2020, 1, 1)]),
        ([pd.Timestamp("2020-01-02 03:00", tz="Asia/Tokyo")], "date", [datetime.datetime(2020, 1, 2, 3)]),
        ([datetime.timedelta(days=1)], "number", [86400.0]),
    ],
)
def test_types(values, type_, cells):
    column = column_of_values("c", values)
    assert (column.type, column.cells.tolist()) == (type_, cells)


@pytest.mark.parametrize(
    "gap",
    [None, float("nan"), Decimal("sNaN"), pd.NA, pd.NaT, "", "NA", " n/a ", "?", np.datetime64("NaT", "us")],
)
def test_gaps(gap):
    for values in ([1.0, gap], ["a", gap], [True, gap], [datetime.date(2020, 1, 1), gap], [gap, gap]):
        assert column_of_values("c", values).missing().tolist() == [values[0] is gap, True]


def test_a_number_that_no_float_holds_is_infinite():
    assert column_of_values("c", [10**400]).cells.tolist() == [np.inf]
