"""Text files as tables with columns of any kind."""

import numpy as np
import pytest

from nnx.errors import ConfigurationError, DataError
from nnx.tables import TableEncoder, read_table


def written(tmp_path, text, **options):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path, **options)


def test_a_table_as_a_german_program_writes_it(tmp_path):
    text = "Sales 2020\nnr;size;town;since\n1;1,5;Köln;1.2.2020\n2;2,5;Ulm;3.4.2021\n3;;Ulm;\n"
    with pytest.warns(UserWarning, match=r"is a title|only counts") as said:
        frame = written(tmp_path, text)
    notes = " ".join(str(warning.message) for warning in said)
    for note in ("delimiter semicolon; decimal comma; line 1 is a title", "column 1 (nr) only counts"):
        assert note in notes
    assert [(column.name, column.type) for column in frame.columns] == [
        ("size", "number"), ("town", "text"), ("since", "text"),
    ]  # fmt: skip
    assert [info.kind for info in TableEncoder().fit(frame).columns_] == ["number", "category", "date"]


def test_types_of_cells(tmp_path):
    frame = written(tmp_path, "a,b,c,d\n1,TRUE,x,NA\nNA,FALSE,,\n3,,none,\n")
    cells = {column.name: column.cells.tolist() for column in frame.columns}
    assert [column.type for column in frame.columns] == ["number", "boolean", "text", "number"]
    np.testing.assert_array_equal(cells["a"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(cells["b"], [1.0, 0.0, np.nan])
    assert cells["c"] == ["x", None, "none"]


def test_texts_keep_their_zeros(tmp_path):
    assert written(tmp_path, "zip,n\n007,1\n012,2\n", texts=["zip"]).columns[0].cells.tolist() == [
        "007",
        "012",
    ]


def test_errors_name_the_line_of_the_file(tmp_path):
    text = "a,b\n1,x\n\n2,y\nfoo,x\n3,y\n"
    with pytest.raises(DataError, match=r"table.csv: line 5, column a: 'foo' is not a number"):
        TableEncoder().fit(written(tmp_path, text))
    with pytest.raises(DataError, match=r"table.csv: line 2, column 2: 'foo' is not a number"):
        TableEncoder().fit(written(tmp_path, "1,2\n4,foo\n6,7\n", header="no"))


def test_many_different_texts_are_left_out_and_no_error(tmp_path):
    rows = "".join(f"name {at},{at % 7}\n" for at in range(70_000))
    (info, _) = TableEncoder().fit(written(tmp_path, "who,n\n" + rows)).columns_
    assert (info.kind, info.why) == ("ignore", "has 70,000 different texts in 70,000 cells")


NASTY = {
    "nothing": "",
    "blank lines": "\n\n\n",
    "only names": "a,b\n",
    "ragged": "a,b\n1,2\n3\n",
    "open quote": 'a,b\n1,"x\n2,y\n',
    "closed quote": 'a,b\n1,"x"y\n2,z\n',
    "null byte": "a,b\n1,\0\n",
    "infinity": "a,b\n1,2\ninf,3\n",
    "ambiguous thousands": "a;b\n1,234;x\n5,678;y\n",
    "two decimal marks": "a;b\n1,5;x\n1.5;y\n",
    "a few texts among numbers": "a,b\n1,2\nx,3\n4,5\n6,7\n",
    "dates of two orders": "a,b\n1/2/2020,1\n3/4/2020,2\n",
    "a date that is none": "a,b\n2020-02-30,1\n2020-01-01,2\n",
    "the same name twice": "a,a\n1,2\n3,4\n",
    "numbers of two bits": "a\n1e308\n-1e308\n",
    "a column of one value": "a,b\n1,1\n1,2\n",
    "all cells empty": "a,b\n,\nNA,\n",
    "markup and escapes": "[red]a[/],\x1b[31mb\nx,1\ny,2\n",
    "very long cell": "a,b\n" + "x" * 10_000 + ",1\ny,2\n",
}


def attempt(tmp_path, text):
    """The numbers, the codes and their cardinalities, or the error."""
    try:
        encoder = TableEncoder().fit(written(tmp_path, text))
        return *encoder.encode(written(tmp_path, text)), encoder.cardinalities_
    except (DataError, ConfigurationError) as error:
        return str(error)


def is_right(found):
    """Whether an error is one readable line, and numbers and codes are in their ranges."""
    if isinstance(found, str):
        return found.isprintable() and len(found) < 400
    numbers, codes, cardinalities = found
    return np.isfinite(numbers).all() and (codes >= 0).all() and (codes < np.array(cardinalities)).all()


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nasty_tables_are_read_or_refused_in_one_line(tmp_path, text):
    assert is_right(attempt(tmp_path, text))


CELLS = ("", "1", "-2.5", "1,5", "NA", "TRUE", "x", "2020-01-02", "3/4/2020", '"a,b"', "1e999", "é", " ", "?")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_tables_are_read_or_refused_in_one_line(tmp_path):
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(300):
        width, rows = rng.integers(1, 5), rng.integers(1, 8)
        few = rng.choice(CELLS, (width, 2))  # a column of a real table holds cells of one or two kinds
        mark = rng.choice(list(",;\t|"))
        lines = [mark.join(f"c{at}" for at in range(width))]
        lines += [mark.join(rng.choice(few[at]) for at in range(width)) for _ in range(rows)]
        found = attempt(tmp_path, "\n".join(lines))
        assert is_right(found), lines
        read += not isinstance(found, str)
    assert read > 100
