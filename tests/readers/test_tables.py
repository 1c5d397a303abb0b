"""Tables as people have them, written in many ways, with gaps and texts: right numbers, or a question."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas
import pytest

import nnx
from nnx.datasets import load_arrays
from nnx.experiments.train.features import learnt
from nnx.experiments.train.labelled import Reading, load_inputs, load_labelled
from nnx.experiments.train.layout import Layout

ROWS = [(1.5, 20.0, "red"), (2.25, 40.0, "blue"), (3.0, 1234.5, "red"), (-4.75, 0.5, "blue")]
PLAIN = "a,b,kind\n" + "".join(f"{a},{b},{kind}\n" for a, b, kind in ROWS)
GERMAN = "a;b;kind\n" + "".join(f"{a};{b};{kind}\n" for a, b, kind in ROWS).replace(".", ",")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(data: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def read(data: str | bytes, target=("kind",), task="auto", ignore=(), **how):
    return load_labelled(written(data), task, target, ignore, how=Reading(**how))


def refused(data: str | bytes, *given, error=nnx.NnxError, **options) -> str:
    with pytest.raises(error) as caught:
        read(data, *given, **options)
    text = str(caught.value)
    assert text.startswith(("t.csv", "no --target is given"))
    assert "\n" not in text
    assert len(text) < 1000
    return text


# ------------------------------------------------------------------------------------ how a table is written

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


ONE_COLUMN = {
    "under a name": "price\n63,7\n26,5\n1,0\n",
    "under a title and a name": "Prices 2024\nprice\n63,70\n-26,98\n",
    "with thousands": "price\n1.234,50\n26,98\n",
    "among whole numbers": "63,75\n12\n26,5\n",
    "two places each": "63,70\n26,98\n4,10\n",
    "places that begin with 0": "63,75\n26,05\n4,1\n",
    "places without a 0 at the end": "1,5\n2,5\n3,25\n",
}


@pytest.mark.parametrize("what", ONE_COLUMN)
def test_one_column_of_decimal_commas_is_not_taken_for_two(what):
    data = ONE_COLUMN[what]
    numbers = [line for line in data.splitlines() if line[0] in "-0123456789"]
    right = [[float(line.replace(".", "").replace(",", "."))] for line in numbers]
    np.save("x.npy", np.ones((len(right), 3)))
    path = written(data)
    for task in ("auto", "regression"):
        with pytest.raises(nnx.ConfigurationError, match=r"--decimal , .* or --delimiter comma"):
            load_labelled("x.npy", task, [path])
    for call in (load_arrays, load_labelled, lambda path: load_inputs(path, Layout(1, None, (0,), 2))):
        with pytest.raises(nnx.ConfigurationError, match="one number with a decimal comma, or two columns"):
            call(path)
    for how in (Reading(decimal=","), Reading(delimiter=";")):
        found = load_labelled("x.npy", "regression", [path], how=how)
        np.testing.assert_array_equal(found.y, right)
        np.testing.assert_array_equal(load_labelled(path, how=how).x, right)
        np.testing.assert_array_equal(load_inputs(path, Layout(1), how=how)[0], right)
        assert not any("delimiter" in note for note in found.notes)


def test_two_columns_of_whole_numbers_are_two_where_that_is_known_or_likely():
    data = "Survey\n63,70\n26,98\n"
    np.testing.assert_array_equal(read(data, (), delimiter="comma").x, [[63, 70], [26, 98]])
    assert read(data, ("2",), "regression").y.tolist() == [[70], [98]]
    x, _ = load_inputs("t.csv", Layout(2))
    np.testing.assert_array_equal(x, [[63, 70], [26, 98]])
    for data in (
        "5,1\n6,0\n7,1\n",
        "1,9\n2,10\n3,11\n",
        "63, 70\n26, 98\n",
        "5,\n6,\n",
        "a,b\n63,70\n26,98\n",
    ):
        found = read(data, ())
        assert found.layout.width == 2
        asked = "--decimal ," in " ".join(found.notes)
        assert asked == (data[:3] in ("5,1", "1,9"))


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


# -------------------------------------------------------------------------------------------- names, or data


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


# ------------------------------------------------------------------------------------------ columns by name


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


# -------------------------------------------------------------------------------------------- gaps and texts


@pytest.mark.parametrize("code", ["-99", "-999", "-9999.0", "99999"])
def test_numbers_that_may_mean_a_gap_are_told(code):
    rows = "".join(f"{code if i == 3 else 20 + i},{i / 7},{'ab'[i % 2]}\n" for i in range(9))
    found = read("t,p,kind\n" + rows)
    assert f"column 1 (t) is {float(code):.0f} in 1 rows, far from its other values" in found.notes[-1]
    assert found.x[3, 0] == float(code)
    rows = "".join(f"{500 * i - 999},{i / 7},{'ab'[i % 2]}\n" for i in range(9))
    assert read("t,p,kind\n" + rows).notes == ()  # a value like others


def test_gaps_are_named_all_at_once():
    text = refused("a,b,c,y\n1,,3,x\n4,NA,?,y\n7,8,9,x\n", ("y",), error=nnx.DataError)
    assert "2 columns have empty cells: line 2, column 2 (b) (2 of 3 rows); line 3, column 3 (c)" in text
    for option in ("--missing drop", "mean or median"):
        assert option in text


@pytest.mark.parametrize("gap", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "#N/A", "<NA>"])
def test_rows_with_gaps_are_left_out_or_filled_from_the_rows_to_train_on(gap):
    data = f"a,b,kind\n1,2,x\n{gap},4,y\n3,6,y\n20,{gap},y\n8,9,\n"
    found = read(data, missing="drop")
    np.testing.assert_array_equal(found.x, [[1, 2], [3, 6]])
    assert found.y.tolist() == [0, 1]
    assert "3 of 5 rows have empty cells: they are left out" in found.notes[0]
    for missing in ("mean", "median"):
        found = read(data, missing=missing)
        assert "1 of 5 rows have no target" in found.notes[0]
        filled = learnt(found, np.array([0, 1, 2]))  # without the row of 20
        np.testing.assert_array_equal(filled.x, [[1, 2], [2, 4], [3, 6], [20, 4]])
        assert filled.layout.fills == (2.0, 4.0)
        assert "2 empty cells are the " + missing in filled.notes[-1]
        x, _ = load_inputs(written(f"b,a\n{gap},5\n"), filled.layout)
        np.testing.assert_array_equal(x, [[5, 4]])


@pytest.mark.parametrize(("missing", "value"), [("mean", 36.0), ("median", 3.0)])
def test_mean_and_median_are_what_their_names_say(missing, value):
    found = read("a,kind\n1,x\n2,y\n3,x\n74,y\n100,x\n,y\n", missing=missing)
    assert learnt(found, np.arange(5)).x[-1, 0] == value


@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("factor", [1.0, 0.1, 1e9])
def test_what_fills_a_gap_counts_each_row_by_its_weight(missing, factor):
    """As in a table that holds each row as often as its weight says."""
    rng = np.random.default_rng(3)
    for rows in (5, 6, 7, 40):
        a, w = rng.normal(size=rows).round(3), rng.integers(0, 4, rows)
        w[:2] = 1, 0
        a[w == 0] = 1000.5
        lines = "".join(f"{v},{k},{w[k] * factor}\n" for k, v in enumerate(a))
        path = written(f"a,t,w\n{lines},0.5,{factor}\n")
        found = load_labelled(path, "regression", ["t"], weights="w", how=Reading(missing=missing))
        right = getattr(np, missing)(np.repeat(a, w))
        filled = learnt(found, np.arange(rows + 1))
        assert filled.layout.fills == pytest.approx((right,), rel=1e-12)
        assert filled.x[-1, 0] == filled.layout.fills[0]


def test_rows_of_weight_0_teach_nothing():
    path = written("a,c,t,w\n1,r,0.5,1\n2,b,0.25,1\n3,g,0.75,0\n")
    found = load_labelled(path, "regression", ["t"], weights="w", how=Reading(categories="onehot"))
    kept = learnt(found, np.arange(3))
    assert kept.layout.names() == ("a", "c=b", "c=r")
    assert "only in rows held out or of weight 0 (first 'g')" in kept.notes[-1]
    path = written("a,b,t,w\n,1,0.5,1\n,2,0.25,1\n3,3,0.75,0\n")
    found = load_labelled(path, "regression", ["t"], weights="w", how=Reading(missing="mean"))
    with pytest.raises(nnx.DataError, match="column 1 is empty in all rows to train on"):
        learnt(found, np.arange(3))


def test_a_model_trained_without_fills_refuses_gaps():
    layout = read(PLAIN).layout
    with pytest.raises(nnx.DataError, match=r"new\.csv: line 3, column 1 \(a\): is empty.*--missing mean"):
        load_inputs(written("a,b\n1,2\n,3\n", "new.csv"), layout)


def test_texts_are_named_all_at_once_with_the_option_that_leaves_them_out():
    data = "a,colour,day of birth,y\n1,red,2024-01-01,0\n2,blue,2024-01-02,1\n"
    text = refused(data, ("y",), error=nnx.DataError)
    assert "2 columns hold text: line 2, column 2 (colour): 'red'; line 2, column 3 (day of birth)" in text
    assert '--ignore "colour,day of birth"' in text
    assert "nnx does not read dates: column 3 (day of birth)" in text
    assert "--categories onehot" in text
    assert read(data, ("y",), "auto", ("colour,day of birth",)).x.tolist() == [[1], [2]]


def test_texts_are_features_and_the_same_ones_again():
    data = "a,colour,kind\n1,red,x\n2,blue,y\n3,red,x\n4,green,y\n"
    found = read(data, categories="onehot")
    assert found.layout.names() == ("a", "colour=blue", "colour=green", "colour=red")
    kept = learnt(found, np.array([0, 1, 2]))  # green is only held out
    np.testing.assert_array_equal(kept.x, [[1, 0, 1], [2, 1, 0], [3, 0, 1], [4, 0, 0]])
    assert kept.layout.names() == ("a", "colour=blue", "colour=red")
    assert "only in held-out rows (first 'green')" in kept.notes[-1]
    notes = []
    x, _ = load_inputs(written("colour,a\nblue,7\nRED,8\nred,9\n"), kept.layout, notes=notes)
    np.testing.assert_array_equal(x, [[7, 1, 0], [8, 0, 0], [9, 0, 1]])
    assert (
        "holds texts that no row of the training had, in 1 row (first 'RED'): these rows get 0" in notes[-1]
    )
    with pytest.raises(nnx.ConfigurationError, match="has no column 'colour'"):
        load_inputs(written("a,size\n1,2\n"), kept.layout)


def test_a_gap_among_texts_is_a_text():
    found = read("a,colour,kind\n1,red,x\n2,,y\n3,red,x\n", categories="onehot", missing="mean")
    assert found.layout.names() == ("a", "colour=(empty)", "colour=red")
    assert refused("a,colour,kind\n1,red,x\n2,,y\n", categories="onehot").endswith("mean or median")


def test_texts_that_are_names_are_no_categories():
    data = "name,a\n" + "".join(f"person {i},{i * i}\n" for i in range(30))
    assert "--ignore name" in refused(data, (), categories="onehot")


def test_truths_are_numbers_and_dates_are_texts():
    found = read("a,b,y\n1,TRUE,x\n2,false,y\n3,True,x\n", ("y",))
    np.testing.assert_array_equal(found.x, [[1, 1], [2, 0], [3, 1]])
    assert "'TRUE' is not a number" in refused("a,b\n1,TRUE\n2,7\n", ())


@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("categories", ["error", "onehot"])
def test_the_numbers_are_those_of_pandas(missing, categories):
    """A table that pandas writes, read by pandas and by nnx."""
    rng = np.random.default_rng(1)
    frame = pandas.DataFrame({"a": rng.normal(size=50), "b": rng.integers(0, 9, 50).astype(float)})
    frame.loc[rng.random(50) < 0.2, "a"] = np.nan
    if categories == "onehot":
        frame["c"] = rng.choice(["x", "y", "z"], 50)
    frame.to_csv("t.csv", index=False)
    found = learnt(load_labelled("t.csv", how=Reading(missing=missing, categories=categories)), np.arange(30))
    expected = frame.fillna({"a": getattr(frame["a"][:30], missing)()})
    if categories == "onehot":
        expected = pandas.get_dummies(expected)
        assert tuple(name.replace("_", "=") for name in expected.columns) == found.layout.names()
    np.testing.assert_allclose(found.x, expected.to_numpy(float), rtol=1e-15)


# ----------------------------------------------------------------------------------------- classes or values


def sources(y, names=None):
    """The same targets as each source can hold them."""
    y = np.asarray(y)
    x = np.arange(len(y) * 2.0).reshape(-1, 2) % 7
    table = y.reshape(len(y), -1)
    np.save("x.npy", x)
    np.save("y.npy", y)
    np.savez("both.npz", x=x, y=y)
    pandas.DataFrame(table).to_csv("labels.csv", index=False, header=False)
    whole = pandas.DataFrame({"p": x[:, 0], "q": x[:, 1]})
    for k in range(table.shape[1]):
        whole[f"t{k}"] = table[:, k]
    whole.to_csv("table.csv", index=False)
    at = ",".join(str(3 + k) for k in range(table.shape[1]))
    return [("x.npy", ["y.npy"]), ("x.npy", ["labels.csv"]), ("both.npz", []), ("table.csv", [at])]


N = 60
TARGETS = {
    "texts": (np.array(["b", "a"] * 30), "classification"),
    "texts of numbers with decimal places": (np.arange(N) / 7, "regression"),
    "truths": (np.arange(N) % 2 == 0, "classification"),
    "0 and 1": (np.arange(N) % 2, "classification"),
    "0.0 and 1.0": (np.arange(N) % 2.0, "classification"),
    "one-hot integers": (np.eye(3, dtype=int)[np.arange(N) % 3], "classification"),
    "one-hot floats": (np.eye(3)[np.arange(N) % 3], "classification"),
    "digits": (np.arange(N) % 10, None),
    "digits as floats": (np.arange(N) % 10.0, None),
    "prices": (np.arange(N) * 1000, None),
    "several values": (np.stack([np.arange(N), np.arange(N) * 2], 1), "regression"),
    "several labels": (np.stack([np.arange(N) % 2, np.arange(N) % 3 // 2], 1), None),
    "shares": (np.stack([np.arange(N) / N, 1 - np.arange(N) / N], 1), "regression"),
}  # fmt: skip


@pytest.mark.parametrize("what", TARGETS)
def test_the_same_targets_are_the_same_from_every_source(what):
    y, task = TARGETS[what]
    for source, target in sources(y):
        if task is None:
            with pytest.raises(nnx.ConfigurationError, match="--task regression"):
                load_labelled(source, target=target)
            continue
        found = load_labelled(source, target=target)
        assert found.task == task, source
        if task == "regression":
            np.testing.assert_allclose(found.y, y.reshape(N, -1), rtol=1e-15)
        elif y.ndim == 2:
            np.testing.assert_array_equal(found.y, np.argmax(y, axis=1))
        else:
            np.testing.assert_array_equal(found.y, np.unique(y, return_inverse=True)[1])


@pytest.mark.parametrize("what", ["digits", "digits as floats", "one-hot floats"])
def test_a_task_that_is_said_decides(what):
    y = TARGETS[what][0]
    for source, target in sources(y):
        classes = load_labelled(source, "classification", target)
        np.testing.assert_array_equal(classes.y, np.arange(N) % len(classes.classes))
        if what != "one-hot floats":
            assert classes.classes == tuple(map(str, range(10))), source
        values = load_labelled(source, "regression", target)
        np.testing.assert_array_equal(values.y, y.reshape(N, -1))


def test_a_file_of_labels_may_have_a_heading_an_index_and_texts():
    np.save("x.npy", np.arange(12.0).reshape(6, 2))
    y = ["cat", "dog", "cat", "dog", "dog", "cat"]
    pandas.Series(y, name="animal").to_csv("named.csv", index=False)
    pandas.Series(y).to_csv("index.csv")
    pandas.Series(y, name="animal").to_csv("both.csv")
    pandas.Series(y, name="animal", index=[3, 1, 4, 9, 5, 2]).to_csv("shuffled.csv")
    for name in ("named.csv", "index.csv", "both.csv", "shuffled.csv"):
        found = load_labelled("x.npy", target=[name])
        assert (found.classes, found.y.tolist()) == (("cat", "dog"), [0, 1, 0, 1, 1, 0])
    assert "only counts or names the rows" in found.notes[-1]
    pandas.Series([0.5, 1, 0, 2, 1, 0], name="price").to_csv("price.csv")  # the index is no second target
    found = load_labelled("x.npy", target=["price.csv"])
    assert (found.targets, found.y.ravel().tolist()) == (("price",), [0.5, 1, 0, 2, 1, 0])
    pandas.Series([0, 1, 0, 1, 1, 0]).to_csv("zero.csv", index=False)  # under the name 0
    found = load_labelled("x.npy", target=["zero.csv"])
    assert found.y.tolist() == [0, 1, 0, 1, 1, 0]
    assert "line 1 is taken as a name" in found.notes[-1]
    written("1\n2\n3\n", "short.csv")
    with pytest.raises(nnx.DataError, match="holds 6 samples, but 3 targets"):
        load_labelled("x.npy", "regression", ["short.csv"])


def test_classes_that_are_the_same_number_are_one():
    found = read("a,y\n1,1\n2,1.0\n3,2\n4,2.00\n", ("y",), "classification")
    assert (found.classes, found.y.tolist()) == (("1", "2"), [0, 0, 1, 1])


def test_the_layout_is_data_that_a_model_can_keep():
    found = learnt(read("a,c,kind\n1,r,x\n,b,y\n3,r,x\n", missing="mean", categories="onehot"), np.arange(3))
    kept = dataclasses.asdict(found.layout)
    assert kept["fills"] == (2.0, None)
    assert kept["categories"] == ((), ("b", "r"))
