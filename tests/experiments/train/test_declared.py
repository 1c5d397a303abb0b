"""The tables of a training on one's own data show its numbers as they are; its verdict compares them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_models import classes, here  # noqa: F401

from nnx.experiments import Result
from nnx.experiments.train.declared import verdict

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_weighted_counts_are_shown_as_they_are():
    classes()
    Path("t.csv").write_text(Path("t.csv").read_text().replace(",1,", ",0.5,"))
    done = invoke("train", "t.csv", "--target", "kind", "--ignore", "name", "--weights", "w", "--epochs", 2,
                  "--out", "run", "-q")  # fmt: skip
    matrix = np.array(json.loads(Path("run/result.json").read_text())["metrics"]["confusion_matrix"])
    assert matrix.sum() % 1 == 0.5
    assert f"{np.trace(matrix):,.2f} of {matrix.sum():,.2f} right" in Path("run/report.html").read_text()
    assert f"{matrix[1].sum():,.2f}" in done.stdout


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"accuracy": 0.9, "majority_accuracy": 0.55},
         "90.0% of the held-out rows are predicted right; "
         "always predicting the most common class gives 55.0%."),
        ({"r2": 0.75}, "75% less squared error than predicting the targets' mean (R²)."),
        ({"r2": -0.25}, "25% more squared error than predicting the targets' mean (R²)."),
        ({"mse": 0.1}, ""),
    ],
)  # fmt: skip
def test_the_verdict_compares_with_the_simplest_guess(metrics, said):
    result = Result("train", "regression", "t.csv", "cpu", "numpy", "float32", 0, metrics)
    assert verdict(result) == said
