"""What is learnt of a column, and how it is applied."""

from nnx.tables.fitted import Categories, Dates, Numbers, is_category
from nnx.tables.frames import frame_of
from nnx.tables.kinds import Kind


def first(cells):
    frame = frame_of({"c": cells})
    return frame, frame.columns[0]


def test_missing_numbers_are_the_median_and_have_an_indicator():
    fitted = Numbers.fit(*first([1.0, 2.0, 3.0, None]), Kind("number"), None)
    assert [name for name, _ in fitted.names("c")] == ["c", "c: missing"]
    numbers, indicator = fitted.apply(*first([None, 2.0, 3.0]), clip=False)
    assert numbers.tolist() == [0.0, 0.0, 0.5]
    assert indicator.tolist() == [1.0, 0.0, 0.0]
    assert len(Numbers.fit(*first([1.0, 2.0]), Kind("number"), None).apply(*first([None]), clip=True)) == 1


def test_only_parts_of_dates_that_vary_are_kept():
    fitted = Dates.fit(*first(["2020-01-05", "2020-03-05", None]), Kind("date", order="ymd"), None)
    assert [name for name, _ in fitted.names("c")] == ["c: days", "c: month", "c: weekday", "c: missing"]
    *parts, indicator = fitted.apply(*first([None, "2020-01-05"]), clip=False)
    assert [part[0] for part in parts] == [0.0, 0.0, 0.0]
    assert indicator.tolist() == [1.0, 0.0]


def test_codes_of_categories():
    cells = ["b", "a", "b", "a", "rare", None, None, "b"]
    fitted = Categories.fit(*first(cells), Kind("category"), 2, 100)
    assert fitted.texts == (None, "a", "b")
    assert (fitted.rare, fitted.cardinality) == (1, 4)
    assert fitted.apply(*first(["a", "b", None, "rare", "new"]))[0].tolist() == [2, 3, 1, 0, 0]
    most = Categories.fit(*first(cells), Kind("category"), 1, 1)
    assert most.texts == ("b",)
    assert most.apply(*first(["a", None]))[0].tolist() == [0, 0]


def test_booleans_are_never_rare():
    fitted = Categories.fit(*first([True, True, False, None]), Kind("boolean"), 2, 100)
    assert fitted.apply(*first(["false", "TRUE", None, 1]))[0].tolist() == [1, 2, 0, 2]
    assert is_category(Kind("boolean"))
    assert not is_category(Kind("number"))
