"""Losses agree within the promised tolerances, or the result says no."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.comparing import SHORT

from nnx.experiments import Result, compare
from nnx.experiments.compare import agreement
from nnx.experiments.compare.agreement import CHECKS, Check, difference
from nnx.experiments.compare.jobs import Problem
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.sides import FRAMEWORKS


def test_the_tolerances_are_the_promised_ones() -> None:
    assert CHECKS["float64"] == Check("deep", "float64", 200, 1e-6)
    assert CHECKS["float32"] == Check("deep", "float32", 50, 1e-3)
    assert CHECKS["classifier_float64"] == Check("classifier", "float64", 200, 1e-6)
    assert CHECKS["classifier_float32"] == Check("classifier", "float32", 5, 1e-3)
    assert {check.problem for check in CHECKS.values()} == set(FRAMEWORKS["keras"].problems)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_never_agrees(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    assert difference(np.array([1.0, wrong]), np.array([1.0, wrong])) is None
    curves = {"nnx": [1.0, 0.5], "keras": [1.0, wrong], "keras_xla": [1.0, 0.5]}
    answers = {side: ({"seconds": 0.1}, {"losses": np.array(curve)}) for side, curve in curves.items()}
    monkeypatch.setattr(agreement, "each", lambda started, job: answers)
    monkeypatch.setattr(agreement, "CHECKS", {"float64": SHORT["float64"]})
    said: list[str] = []
    problem = Problem("deep", {"rows": 2, "batch_size": 1}, 1)
    found = agreement.examine({}, {"deep": problem}, said.append, Budget(1.0))
    assert not found.agree
    assert found.checks["float64"]["max_relative_difference"] is None
    assert found.checks["float64"]["keras_xla"] == 0.0
    json.dumps(found.checks, allow_nan=False)
    assert "differ by inf relative" in said[0]
    assert "differ by inf relative" in found.complaints()[0]
    result = Result("compare", "", "digits", "cpu", "numpy", "float64", 0)
    result.metrics = {"agree": False, "agreement": found.checks}
    (table,) = compare.tables(result)
    assert table.rows[0][-4:] == ("inf", "0", "1e-09", "NO")


def test_differences() -> None:
    assert difference(np.array([2.0, 1.0]), np.array([2.0, 1.1])) == pytest.approx(0.1 / 1.1)
