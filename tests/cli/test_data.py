"""``nnx data`` lists, verifies and fetches the data sets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest


@pytest.mark.mnist
def test_data_is_listed_and_verified(mnist_directory, answer):
    listed = json.loads(answer("data", "list", "--json").stdout)["datasets"]
    assert {entry["name"]: entry["available"] for entry in listed} == {
        "mnist": False, "digits": True, "xor": True}  # fmt: skip
    done = answer("data", "verify")
    assert done.returncode == 1
    assert done.stdout.count(" missing ") == 4
    done = answer("data", "verify", "--directory", mnist_directory)
    assert done.returncode == 0
    assert len(re.findall(r" ok ", done.stdout)) == 4
    done = answer("data", "fetch", NNX_DATA_DIR=str(mnist_directory))
    assert done.returncode == 0
    assert [Path(line).parent for line in done.stdout.splitlines()] == [mnist_directory] * 4
    assert "mnist" in answer("data", "list").stdout


def test_the_columns_of_a_table_are_shown(tmp_path, answer):
    text = "Houses\nsize;zip;built\n1,5;007;1.2.2020\n2,5;008;3.4.2021\n3,5;007;\n"
    (tmp_path / "houses.csv").write_text(text)
    done = answer("data", "columns", "houses.csv", "--kinds", "zip=category", "--json")
    assert done.returncode == 0
    found = {row.pop("name"): tuple(row.values()) for row in json.loads(done.stdout)["columns"]}
    dates = "2020-02-01 to 2021-04-03: days, year, month, day, and empty cells"
    assert found == {
        "size": ("number", "guessed", "1.5 to 3.5, median 2.5"),
        "zip": ("category", "given", "007, and 1 rare"),
        "built": ("date", "guessed", dates),
    }
    form = "delimiter semicolon; decimal comma; line 1 is a title; line 2 names the columns"
    assert done.stderr == f"note: houses.csv: {form}\n"
    shown = answer("data", "columns", "houses.csv").stdout
    assert "3 columns" in shown
    assert "7 to 8, median 7" in shown  # without --kinds
    wrong = answer("data", "columns", "houses.csv", "--kinds", "zip")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "as zip=category, not 'zip'" in wrong.stderr
