"""The columns of a table are found by name or by place, for training and for new data."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_files import iris, table
from support.own_models import here, trained  # noqa: F401

import nnx
from nnx.experiments.train.labelled import load_inputs, load_labelled

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_columns_are_found_by_name_whatever_their_order():
    trained(iris(), "--target", "species", "--ignore", "id", "--epochs", 2)
    rows = table("iris.csv")
    with Path("turned.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[row[3], row[1], row[0], row[2]] for row in rows])
    for source in ("iris.csv", "turned.csv"):
        invoke("predict", "run", source, "--probabilities", "--out", f"of-{source}")
    assert table("of-iris.csv") == table("of-turned.csv")
    Path("lacking.csv").write_text("sepal length,sepal width\n1,2\n")
    with pytest.raises(nnx.ConfigurationError, match=r"lacking\.csv: has no column 'petal length'"):
        invoke("predict", "run", "lacking.csv", "--out", "no.csv")


def test_a_list_may_be_given_in_several_options():
    """Each counts; click alone takes the last."""
    rest = (iris(), "--target", "species", "--epochs", 1)
    trained(*rest, "--ignore", "id,sepal width", out="at-once")
    trained(*rest, "--ignore", "id", "--ignore", "sepal width", out="apart")
    models = [next(Path(run).glob("*.safetensors")).read_bytes() for run in ("at-once", "apart")]
    assert models[0] == models[1]


def test_a_table_without_names_is_taken_by_place():
    iris(header=False)
    trained("iris.csv", "--target", "-1", "--ignore", "5", "--epochs", 2)
    with Path("features.csv").open("w", newline="") as file:
        csv.writer(file).writerows(row[:4] for row in table("iris.csv"))
    for source in ("iris.csv", "features.csv"):
        invoke("predict", "run", source, "--out", f"of-{source}")
    assert table("of-iris.csv") == table("of-features.csv")


def test_a_number_of_a_column_is_no_name_that_stands_in_the_data():
    Path("signs.csv").write_text("-1,1,2,1\n1,1,3,-1\n-1,-1,4,1\n")
    data = load_labelled("signs.csv", "classification", ["-1"])
    np.testing.assert_array_equal(data.x, [[-1, 1, 2], [1, 1, 3], [-1, -1, 4]])
    assert (data.classes, data.y.tolist()) == (("-1", "1"), [1, 0, 1])
    Path("values.csv").write_text("3,1,2\n6,5,4\n")
    data = load_labelled("values.csv", "regression", ["3"])
    np.testing.assert_array_equal(data.y, [[2], [4]])
    Path("pandas.csv").write_text("0,1,2\n6.0,5.0,4.0\n9.0,8.0,7.0\n")  # DataFrame.to_csv, without names
    data = load_labelled("pandas.csv", "regression", ["2"])
    np.testing.assert_array_equal(data.y, [[4], [7]])
    assert data.targets == ("2",)


def test_columns_of_one_name_are_told_apart():
    Path("twice.csv").write_text("a,a,kind\n1,2,x\n3,4,y\n")
    data = load_labelled("twice.csv", "classification", ["kind"])
    x, _ = load_inputs("twice.csv", data.layout)
    np.testing.assert_array_equal(x, data.x)
    Path("values.csv").write_text("a,t,t\n" + "".join(f"{i},{i},{2 * i}\n" for i in range(30)))
    metrics = trained("values.csv", "--task", "regression", "--target", "2,3", "--epochs", 1)["metrics"]
    assert list(metrics["by_target"]) == ["t", "t.1"]


@pytest.mark.parametrize(
    ("target", "ignore", "words"),
    [(["t", "-1"], [], "target names a column twice"), (["t"], ["2"], "by target and by ignore")],
)
def test_a_target_is_named_once(target, ignore, words):
    Path("once.csv").write_text("a,t\n1,2\n3,4\n")
    with pytest.raises(nnx.ConfigurationError, match=words):
        load_labelled("once.csv", "regression", target, ignore)
