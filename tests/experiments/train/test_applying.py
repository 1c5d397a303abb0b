"""``nnx predict``: what a trained model answers, and in which form."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_models import classes, here, table, trained, write  # noqa: F401

import nnx

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture
def model():
    classes()
    trained("t.csv", "--target", "kind", "--ignore", "name,w", "--epochs", 2)
    return table(Path("t.csv").read_text())


def test_answers_are_named_numbered_and_written_to_standard_output(model):
    plain = table(invoke("predict", "run", "t.csv").stdout)
    assert plain[0] == ["kind"]
    assert len(plain) == 121
    assert {row[0] for row in plain[1:]} <= {"rare", "common"}
    for identity, cells in (("name", [row[0] for row in model]), ("1", [row[0] for row in model]),
                            ("row", ["row", *map(str, range(1, 121))])):  # fmt: skip
        done = table(invoke("predict", "run", "t.csv", "--id", identity).stdout)
        assert [row[0] for row in done] == cells
        assert [row[1:] for row in done] == plain
    done = table(invoke("predict", "run", "t.csv", "--id", "name", "--probabilities").stdout)
    assert done[0] == ["name", "kind", "common", "rare"]
    np.testing.assert_allclose(np.array(done[1:])[:, 2:].astype(float).sum(axis=1), 1.0, rtol=1e-6)


def test_several_files_are_answered_in_their_order(model):
    write("two.csv", model[0], model[1:6])
    done = table(invoke("predict", "run", "t.csv", "two.csv", "--id", "name").stdout)
    assert done[0] == ["name", "file", "kind"]
    assert [row[1] for row in done[1:]] == ["t.csv"] * 120 + ["two.csv"] * 5
    assert [row[2] for row in done[121:]] == [row[2] for row in done[1:6]]
    invoke("predict", "run", "two.csv", "two.csv", "--out", "both.npy")
    assert np.load("both.npy").shape == (10, 2)


@pytest.mark.parametrize("kind", ["the same", "a link", "another spelling", "one of several"])
def test_an_input_is_not_written_over_unless_forced(model, kind):
    before = Path("t.csv").read_bytes()
    Path("sub").mkdir()
    write("two.csv", model[0], model[1:3])
    out = {"a link": "link.csv", "another spelling": "sub/../t.csv"}.get(kind, "t.csv")
    if kind == "a link":
        os.link("t.csv", out)
    inputs = ["two.csv", "t.csv"] if kind == "one of several" else ["t.csv"]
    with pytest.raises(nnx.ConfigurationError, match=r"is also an INPUT, and would replace it.*--force"):
        invoke("predict", "run", *inputs, "--out", out)
    assert Path("t.csv").read_bytes() == before
    invoke("predict", "run", *inputs, "--out", out, "--force")
    assert Path(out).read_text().splitlines()[0] in ("kind", "file,kind")


def test_what_an_id_cannot_be_is_named(model):
    np.save("x.npy", np.zeros((2, 2)))
    assert invoke("predict", "run", "x.npy", "--id", "row").stdout.startswith("row,kind\n1,")
    for line, words in (
        ("x.npy --id name", "has no named columns, so there is no column 'name': use --id row"),
        ("t.csv --id nam", "did you mean 'name'?"),
        ("t.csv --id name --out y.npy", "adds a column to a .csv file"),
    ):
        with pytest.raises(nnx.ConfigurationError) as caught:
            invoke("predict", "run", *line.split())
        assert words in str(caught.value)
