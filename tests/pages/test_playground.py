"""The file of the playground: what it holds, and which data it refuses."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from nnx import datasets
from nnx.errors import ConfigurationError, DataError, OutputError
from nnx.pages import write_playground

TABLE = "height,width,kind\n1,2,oak\n2,3,elm\n3,5,oak\n4,8,elm\n"


def held(path):
    """The data in the page, as its scripts find it."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="given">(.*?)</script>', text, re.DOTALL)[1])


def written(tmp_path, name, content, **arguments):
    (tmp_path / name).write_text(content, encoding="utf-8")
    return held(write_playground(tmp_path / "page.html", tmp_path / name, **arguments))["table"]


def test_it_holds_the_digits_in_the_order_of_load_digits(tmp_path):
    given = held(write_playground(tmp_path / "page.html"))
    digits = datasets.load_digits("float64")
    pixels, labels = (
        np.frombuffer(base64.b64decode(given["digits"][name]), np.uint8) for name in ("pixels", "labels")
    )
    assert given["table"] is None
    assert given["digits"]["train"] == len(digits.y_train)
    np.testing.assert_array_equal(pixels.reshape(-1, 64) / 16, [*digits.x_train, *digits.x_test])
    np.testing.assert_array_equal(labels, [*digits.y_train, *digits.y_test])


def test_a_table_comes_with_its_columns_and_its_target(tmp_path):
    table = written(tmp_path, "trees.csv", TABLE)
    assert table == {
        "name": "trees.csv",
        "target": 2,
        "columns": [
            {"name": "height", "numbers": [1.0, 2.0, 3.0, 4.0]},
            {"name": "width", "numbers": [2.0, 3.0, 5.0, 8.0]},
            {"name": "kind", "texts": ["oak", "elm", "oak", "elm"]},
        ],
    }
    assert [written(tmp_path, "trees.csv", TABLE, target=at)["target"] for at in ("width", "1")] == [1, 0]


def test_an_array_comes_as_columns(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 3))
    np.save(tmp_path / "x.npy", x)
    table = held(write_playground(tmp_path / "page.html", tmp_path / "x.npy"))["table"]
    np.testing.assert_array_equal(np.transpose([one["numbers"] for one in table["columns"]]), x)


def test_of_many_rows_it_takes_some_and_says_so(tmp_path):
    x = np.arange(12000.0).reshape(6000, 2)
    np.save(tmp_path / "x.npy", x)
    with pytest.warns(UserWarning, match="5,000 of its 6,000 rows"):
        table = held(write_playground(tmp_path / "page.html", tmp_path / "x.npy"))["table"]
    first = np.array(table["columns"][0]["numbers"])
    assert len(first) == len(np.unique(first)) == 5000


def test_names_cannot_end_the_script_that_holds_them(tmp_path):
    table = written(tmp_path, "evil.csv", "</script><script>alert(1)</script>,b\n1.5,2\n3,4\n5,7\n6,7\n")
    assert table["columns"][0]["name"] == "</script><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a,b\n1,2\n3,\n4,5\n", "line 3, column 'b': is empty"),
        ("a,b\n1,2\n3,4\n5,6\n", "has 3 rows, but the playground needs at least 4"),
        ("a\n1\n2\n3\n", "has one column, but the playground takes 2 to 64"),
        (",".join(f"c{at}" for at in range(65)) + ("\n" + "1,2.5" + ",3.5" * 63) * 4, "65 columns"),
    ],
)
def test_bad_data_is_refused_in_one_line(tmp_path, content, text):
    with pytest.raises(DataError, match=text) as refused:
        written(tmp_path, "bad.csv", content)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "page.html").exists()


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"must end in \.html"):
        write_playground(tmp_path / "page.txt")
    with pytest.raises(ConfigurationError, match="no data is given"):
        write_playground(tmp_path / "page.html", target="kind")
    with pytest.raises(ConfigurationError, match="has no column 'widht': did you mean 'width'"):
        written(tmp_path, "trees.csv", TABLE, target="widht")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_playground(tmp_path / "file" / "page.html")
