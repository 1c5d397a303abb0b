"""The tables of a training on one's own data show its numbers as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.own_models import classes, here  # noqa: F401

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
