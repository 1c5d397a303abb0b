"""A table is read right, however it is written, or nnx asks how it is written."""

from __future__ import annotations

import numpy as np
import pytest
from support.own_tables import GERMAN, PLAIN, ROWS, here, read, refused, written  # noqa: F401

import nnx
from nnx.experiments.train.labelled import load_inputs
from nnx.tables.files import read_table

FORMS = {
    "commas": (PLAIN, ""),
    "semicolons": (PLAIN.replace(",", ";"), "delimiter semicolon"),
    "tabs": (PLAIN.replace(",", "\t"), "delimiter tab"),
    "pipes": (PLAIN.replace(",", "|"), "delimiter pipe"),
    "spaces": (PLAIN.replace(",", "   "), "delimiter space"),
    "decimal commas": (GERMAN, "delimiter semicolon; decimal comma"),
    "decimal commas and thousands": (GERMAN.replace("1234,5", "1.234,5"), "decimal comma"),
    "thousands, quoted": (PLAIN.replace("1234.5", '"1,234.5"'), ""),
    "thousands by spaces": (GERMAN.replace("1234,5", "1 234,5"), "decimal comma"),
    "Swiss thousands": (PLAIN.replace("1234.5", "1'234.5"), ""),
    "quotes": ('"' + PLAIN.replace(",", '","').replace("\n", '"\n"').removesuffix('"'), ""),
    "spaces after commas": (PLAIN.replace(",", ",  "), ""),
    "a typographic minus": (PLAIN.replace("-", "−"), ""),
    "Windows line ends": (PLAIN.replace("\n", "\r\n"), ""),
    "old Mac line ends": (PLAIN.replace("\n", "\r"), ""),
    "mixed line ends": (PLAIN.replace("\n", "\r\n", 2), ""),
    "a mark of UTF-8": (b"\xef\xbb\xbf" + PLAIN.encode(), ""),
    "UTF-16 with a mark": (PLAIN.encode("utf-16"), "encoding utf-16"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-be"), "encoding utf-16-be"),
    "a title": ("Survey 2024\n" + PLAIN, "line 1 is a title; line 2 names the columns"),
    "a title of several lines": ("Survey\n\nby hand, 2024\n" + PLAIN, "lines 1 to 3 are a title"),
    "a title in a spreadsheet": ("Survey 2024,,\n" + PLAIN, "line 1 is a title"),
    "comments": ("# by hand\n# again\n" + PLAIN, "lines 1 to 2 are comments"),
    "comments among rows": (PLAIN.replace("3.0,", "# a pause\n3.0,"), ""),
    "names in a comment": ("# " + PLAIN, "line 1 names the columns"),
    "Excel's delimiter": ("sep=;\n" + PLAIN.replace(",", ";"), "delimiter semicolon"),
    "units": (PLAIN.replace("\n", "\nm,kg,\n", 1), "line 2 holds units"),
    "units and aggregations": (PLAIN.replace("\n", "\nm,kg,\nAvg,Smp,\n", 1), "lines 2 to 3 hold units"),
    "a logger's lines": (
        '"TOA5","CR3000"\n' + PLAIN.replace("\n", "\nm,kg,\n,Smp,\n", 1),
        "line 1 is a title; line 2 names the columns; lines 3 to 4 hold units",
    ),
    "rows that end in a comma": (
        PLAIN.replace("\n", ",\n").replace(",\n", "\n", 1),
        "line 1 names all columns but the last, which holds nothing",
    ),
    "empty lines": (PLAIN.replace("\n", "\n\n") + ",,\n", ""),
    "a total": (PLAIN + "Total,1295,\n", "line 6 holds totals"),
    "an empty column": (PLAIN.replace("\n", ",\n"), "holds nothing, so it is left out"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORMS)
def test_a_table_is_read_however_it_is_written(what):
    data, note = FORMS[what]
    found = read(data)
    np.testing.assert_array_equal(found.x, [[a, b] for a, b, _ in ROWS])
    assert (found.classes, found.y.tolist()) == (("blue", "red"), [1, 0, 1, 0])
    assert found.layout.columns == ("a", "b")
    assert found.targets == ("kind",)
    assert note in "; ".join(found.notes)
    if not note:
        assert found.notes == ()
    inputs, _ = load_inputs("t.csv", found.layout)
    np.testing.assert_array_equal(inputs, found.x)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-16"])
def test_letters_beyond_ascii_are_read(encoding):
    found = read("Größe,kind\n1,süß\n2,herb\n".encode(encoding))
    assert (found.layout.columns, found.classes) == (("Größe",), ("herb", "süß"))
    assert any("Windows-1252" in note for note in found.notes) == (encoding in ("latin-1", "cp1252"))


def test_the_form_can_be_said():
    x = read("a;b;kind\n1,234;5;x\n2,345;6;y\n", decimal=",").x
    np.testing.assert_array_equal(x, [[1.234, 5], [2.345, 6]])
    x = read("a;b;kind\n1,234;5;x\n2,345;6;y\n", decimal=".").x
    np.testing.assert_array_equal(x, [[1234, 5], [2345, 6]])
    found = read("a:b:kind\n1:2:x\n3:4:y\n", delimiter=":")
    np.testing.assert_array_equal(found.x, [[1, 2], [3, 4]])
    found = read("a\tkind\n1\tx\n2\ty\n", delimiter="\\t")
    np.testing.assert_array_equal(found.x, [[1], [2]])
    assert read("a,kind\n1,ж\n2,з\n".encode("cp1251"), encoding="cp1251").classes == ("ж", "з")
    np.testing.assert_array_equal(read("1,2\n3,4\n", (), header="yes").x, [[3, 4]])
    np.testing.assert_array_equal(read("0,1\n3,4\n", (), header="no").x, [[0, 1], [3, 4]])
    for wrong in ({"encoding": "utf8-mac"}, {"delimiter": ",,"}):
        with pytest.raises(nnx.ConfigurationError, match="--" + next(iter(wrong))):
            read(PLAIN, **wrong)


UNCLEAR = {
    "1,234 alone": ("a;b\n1,234;5\n2,345;6\n", "--decimal . (thousands) or --decimal , "),
    "1.234 with semicolons": ("a;b\n1.234;5\n2.345;6\n", "--decimal , (thousands) or --decimal . "),
    "both marks": ("a;b\n1,5;5\n2.25;6\n", "2.25 has a decimal point and 1,5 a decimal comma"),
    "years above three columns": ("2019,2020,2021\n5,6,4\n7,9,8\n6,5,7\n", "line 1 ("),
    "0, 1 above two": ("0,1\n5,6\n7,9\n", "--header yes"),
    "0, 1, 2 above whole numbers": ("0,1,2\n5,3,1\n4,4,4\n", "--header yes"),
    "0 to 6 above many": (f"{','.join(map(str, range(7)))}\n" + "5,3,1,2,7,7,9\n" * 9, "names of columns or"),
    "0 to 8 above few": (f"{','.join(map(str, range(9)))}\n" + "5,3,1,2,7,7,9,0,0\n" * 4, "names of columns"),
    "0, 1, 2 above some": ("0,1,2,3\n5.5,3,1,250\n4.5,4,4,112\n", "--header yes"),
    "large numbers above small ones": ("2019,2021,2024\n5,6,4\n7,9,8\n6,5,7\n", "line 1 ("),
    "texts of which one comes again": ("red,small\nred,tall\nblue,tall\n", "line 1 ("),
}  # fmt: skip


@pytest.mark.parametrize("what", UNCLEAR)
def test_what_could_be_read_in_two_ways_is_asked_for(what):
    data, words = UNCLEAR[what]
    text = refused(data, (), error=nnx.ConfigurationError)
    assert words in text
    assert "--decimal" in text or "--header" in text


BROKEN = {
    "ragged": ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 columns, the other lines have 2"),
    "ragged at once": ("1,2\n3,4,5\n6,7,8\n", "line 1 has 2 columns, the other lines have 3"),
    "empty": ("", "is empty"),
    "spaces alone": (" \n\n", "holds no rows"),
    "Excel's delimiter alone": ("sep=|", "holds no rows, only 'sep=|'"),
    "names alone": ("a,b\n", "no rows"),
    "a quote that does not close": ('a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote opens here"),
    "a quote in a quoted cell": ('a,b\n1,2\n3,"4"5"\n', "line 3: a quote closes"),
    "null bytes": ("a,b\n1,2\n3,\0\n", "line 3 holds a null byte"),
    "no text": (bytes(range(1, 200)) * 4, "t.csv"),
    "UTF-8 with a damaged letter": ("a,süß\n1,2\n".encode() + b"3,\xfc\n", "with a damaged character"),
    "very many columns": (b"1," * 10**6 + b"1\n", "has 1,000,001 columns, more than the 262,144"),
    "infinity": ("a,b\n1,2\n3,inf\n", "line 3, column 2 (b): inf is not finite"),
    "underscores": ("a,b\n1,2\n3,4_5\n", "line 3, column 2 (b): '4_5' is not a number"),
    "a point where commas are": ("a;b\n1,5;2\n2,5;1.5\n", "1.5 has a decimal point and 1,5 a decimal comma"),
    "a comma that comes late": ("a;b\n" + "1;2\n" * 300 + "3;1,5\n", "line 302, column 2 (b): '1,5' is not"),
    "1.234 that comes late": ("a;b\n" + "1;2\n" * 300 + "3;1.234\n", "line 302, column 2 (b): '1.234'"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_named_in_one_line(what):
    data, words = BROKEN[what]
    assert words in refused(data, ())


@pytest.mark.parametrize("cells", ["13 Jan 2020,1.5", "1|2,1.5", "10;30,1.5"])
def test_a_comma_of_the_line_of_names_separates_columns_below_too(cells):
    """Else these rows would be 13, Jan and 2020.1, with a decimal comma, and the names a title."""
    first, _, last = cells.partition(",")
    table = read_table(written(f"day,price\n{cells}\n{first}1,2\n{first}2,3\n"))
    assert [column.name for column in table.columns] == ["day", "price"]
    assert table.columns[0].cells.tolist() == [first, f"{first}1", f"{first}2"]
    assert table.columns[1].cells.tolist() == [float(last), 2.0, 3.0]


@pytest.mark.parametrize("mark", "\t;|")
@pytest.mark.parametrize("title", ["Halle 3, Messung\n", "temp, °C\n"])
def test_a_comma_in_a_title_separates_no_columns(title, mark):
    """Each line has one comma, so commas would give two columns: 1;2 and 5."""
    lines = ["day;temp, °C", "1;2,5", "2;3,5", "3;4,25"]
    with pytest.warns(UserWarning, match="line 1 is a title; line 2 names the columns"):
        table = read_table(written(title + "\n".join(lines).replace(";", mark)))
    assert [column.name for column in table.columns] == ["day", "temp, °C"]
    assert [column.cells.tolist() for column in table.columns] == [[1, 2, 3], [2.5, 3.5, 4.25]]


def test_a_comma_in_a_title_above_numbers_alone():
    with pytest.warns(UserWarning, match="delimiter tab; decimal comma; line 1 is a title"):
        table = read_table(written("Halle 3, Messung\n1\t2,5\n2\t3,5\n"))
    assert [column.cells.tolist() for column in table.columns] == [[1, 2], [2.5, 3.5]]
    data = "day,price\n10;30,5\n10;45,7\n"  # times 10;30 and 10;45, or a title above 30,5 and 45,7
    assert "--delimiter comma or --delimiter ';'" in refused(data, (), error=nnx.ConfigurationError)
    np.testing.assert_array_equal(read(data, (), decimal=",").x, [[10, 30.5], [10, 45.7]])
    assert read(data, ("day",), delimiter="comma").classes == ("10;30", "10;45")
    assert read(data, ("day",), decimal=".").classes == ("10;30", "10;45")


def test_a_note_says_that_codes_with_a_zero_in_front_are_read_as_numbers():
    data = "zip,hour,day,y\n01234,01,2020,a\n10001,12,2021,b\n00007,13,2022,b\n"
    (note,) = (note for note in read(data, target=("y",)).notes if "is read as the number" in note)
    assert note.startswith(
        "t.csv: line 2, column 1 (zip): 01234 is read as the number 1234; if these are codes"
    )
    assert note.endswith("train with --preset tabular --kinds zip=category")
    (note,) = (n for n in read(data.replace("zip", "zip code"), target=("y",)).notes if "is read as" in n)
    assert note.endswith("--kinds 1=category")
    with pytest.warns(UserWarning, match="01234 is read as the number 1234"):
        read_table(written(data))
    table = read_table(written(data), texts=["zip"])  # a warning would be an error
    assert table.columns[0].cells.tolist() == ["01234", "10001", "00007"]
