"""The kind of a column: guessed, or given."""

import numpy as np
import pytest

from nnx.errors import ConfigurationError, DataError
from nnx.tables.frames import frame_of
from nnx.tables.kinds import KINDS, as_booleans, as_dates, as_numbers, given_kind, kind_of, pair_of

NAMES = [f"name {at}" for at in range(30)]


def guessed(cells, given=None):
    frame = frame_of({"c": cells})
    return kind_of(frame, frame.columns[0], given)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2, 3], "number"),
        (["1", "2.5", "1e3", ""], "number"),
        (["1,5", "2,5"], "number"),
        (["a", "b", "a"], "category"),
        (["true", "FALSE"], "boolean"),
        ([True, False], "boolean"),
        (["2020-01-02", "2020-03-04"], "date"),
        (["13/1/2020", "2/1/2020"], "date"),
        (["yes", "no"], "category"),
        (NAMES * 2, "category"),
        (NAMES, "ignore"),
        ([None, None], "ignore"),
        ([5, 5, 5], "ignore"),
        ([5, 5, None], "number"),
    ],
)
def test_guesses(cells, kind):
    assert guessed(cells).name == kind


def test_why_a_column_is_left_out():
    assert guessed(NAMES).why == "has 30 different texts in 30 cells"
    assert guessed([None]).why == "is empty"
    assert guessed([1, 1]).why == "has the same value in all rows"


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["1", "2", "x", "4"], r"row 2 .*column c: 'x' is not a number, the other 3 cells are"),
        (["2020-01-01", "2020-01-02", "soon"], r"row 2 .*'soon' is not a date, the other 2 cells are"),
    ],
)
def test_a_few_mistakes_are_named(cells, text):
    with pytest.raises(DataError, match=text):
        guessed(cells)
    assert guessed(cells, "category").given


@pytest.mark.parametrize("cells", [["1,234", "5,678"], ["1,5", "1.5"]])
def test_numbers_that_can_be_read_in_two_ways_are_refused(cells):
    with pytest.raises(
        ConfigurationError, match=r"column c: .*: convert the column to numbers, or ignore it"
    ):
        guessed(cells)


def test_given_kinds():
    assert [given_kind(kind, "c") for kind in KINDS] == list(KINDS)
    assert guessed([1, 2, 2], "category").name == "category"
    assert guessed(["1/2/2020"], "date:mdy").order == "mdy"
    assert guessed(NAMES, "category").name == "category"
    for wrong in ("categorical", None, 3):
        with pytest.raises(ConfigurationError, match="column c: there is no kind"):
            given_kind(wrong, "c")


def test_a_column_and_its_kind_in_one_text():
    assert pair_of(" a=b = date:dmy") == ("a=b", "date:dmy")
    for wrong in ("zip", "=category", "zip=text"):
        with pytest.raises(ConfigurationError):
            pair_of(wrong)


def first(cells):
    frame = frame_of({"c": cells})
    return frame, frame.columns[0]


def test_numbers_of_later_tables():
    np.testing.assert_array_equal(as_numbers(*first(["1", None, "2.5"])), [1.0, np.nan, 2.5])
    np.testing.assert_array_equal(as_numbers(*first(["1,5"]), ","), [1.5])
    np.testing.assert_array_equal(as_numbers(*first([True, False])), [1.0, 0.0])
    for cells, text in (
        (["1", "x"], "row 1 .*'x' is not a number"),
        ([1.0, np.inf], "row 1 .*infinity"),
        ([np.datetime64("2020-01-01")], "dates"),
    ):
        with pytest.raises(DataError, match=text):
            as_numbers(*first(cells))


def test_booleans_of_later_tables():
    for cells in (["True", None, "no"], [1, None, 0], [True, None, False]):
        assert as_booleans(*first(cells)).tolist() == ["true", None, "false"]
    with pytest.raises(DataError, match=r"row 1 .*'2' is not true or false"):
        as_booleans(*first([1, 2]))


def test_dates_of_later_tables():
    assert as_dates(*first(["1.2.2020", None]), "dmy").astype(str).tolist() == [
        "2020-02-01T00:00:00.000000",
        "NaT",
    ]
    assert np.isnat(as_dates(*first([None, None]), "ymd")).all()
    for cells, text in (
        (["31.2.2020"], "row 0 .*'31.2.2020' is not a date"),
        ([None, 3.0], "row 1 .*3 is a number"),
    ):
        with pytest.raises(DataError, match=text):
            as_dates(*first(cells), "dmy")
