"""Dates in texts, and their parts."""

import numpy as np
import pytest

from nnx.errors import ConfigurationError
from nnx.tables.dates import date_of, looks_date, order_of, parts_of


@pytest.mark.parametrize(
    ("text", "order", "iso"),
    [
        ("2020-02-29", "ymd", "2020-02-29"),
        ("2020/2/9", "ymd", "2020-02-09"),
        ("29.02.2020", "dmy", "2020-02-29"),
        ("02/29/2020", "mdy", "2020-02-29"),
        ("2020-02-29 7:05", "ymd", "2020-02-29T07:05"),
        ("2020-02-29T17:05:09.25Z", "ymd", "2020-02-29T17:05:09.25"),
        ("2020-02-29T17:05:09+02:00", "ymd", "2020-02-29T17:05:09"),
    ],
)
def test_dates_in_texts(text, order, iso):
    assert looks_date(text)
    assert date_of(text, order) == np.datetime64(iso, "us")


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("2021-02-29", "ymd"),
        ("31.04.2020", "dmy"),
        ("2020-01-01 25:00", "ymd"),
        ("1/2/2020", "ymd"),
        ("soon", "dmy"),
    ],
)
def test_what_is_no_date(text, order):
    assert date_of(text, order) is None


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["1/2/2020", "13/2/2020"], "dmy"),
        (["1/2/2020", "1/13/2020"], "mdy"),
        (["1.2.2020"], "dmy"),
        (["2020-01-02"], "ymd"),
    ],
)
def test_the_order_is_found(texts, order):
    assert order_of(texts, "c") == order


def test_an_order_that_nothing_shows_is_asked_for():
    with pytest.raises(ConfigurationError, match=r"column when: does 1/2/2020 begin .* date:dmy .* date:mdy"):
        order_of(["1/2/2020", "3/4/2021"], "when")


def test_parts():
    parts = parts_of(np.array(["2024-02-29T12:30", "1969-12-31", "NaT"], "datetime64[us]"))
    assert {name: values[0] for name, values in parts.items()} == {
        "days": 19782 + 12.5 / 24, "year": 2024, "month": 2, "day": 29, "weekday": 3, "hour": 12.5,
    }  # fmt: skip
    assert [values[1] for values in parts.values()] == [-1.0, 1969.0, 12.0, 31.0, 2.0, 0.0]
    assert all(np.isnan(values[2]) for values in parts.values())
