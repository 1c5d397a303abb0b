"""What is measured is what the experiments compute, and less of it on a slow machine."""

from __future__ import annotations

import numpy as np
import pytest

from nnx import datasets
from nnx.experiments import svm
from nnx.experiments.compare.jobs import TIMED, Problem
from nnx.experiments.compare.measure import affordable, classify
from nnx.experiments.compare.plan import Budget


def test_the_svm_takes_every_row_where_there_is_time() -> None:
    digits = datasets.load_digits()
    codes = dict.fromkeys(("nnx", "keras"), (digits.x_train, digits.x_test))
    found = classify(digits, codes, Budget(10.0), 1)
    assert found["rows"] == found["rows_in_all"] == len(digits.x_train)
    assert found["accuracy"]["nnx"] == found["accuracy"]["keras"] > 0.95


@pytest.mark.parametrize(
    ("limit", "epochs", "rows"),
    [(1e6, 100, 1437), (90.0, 4, 1437), (22.5, 2, 704), (1.0, 2, 256), (0.0, 2, 256)],
)
def test_a_slow_machine_has_fewer_epochs_and_then_fewer_rows(
    known: dict[str, Problem], limit: float, epochs: int, rows: int
) -> None:
    """45 steps an epoch that take half a second each on all sides together."""
    problem, count = affordable(known["deep"], 0.5, limit)
    assert (count, problem.job["rows"]) == (epochs, rows)
    assert len(problem.stops(count)) > TIMED
    assert known["deep"].job["rows"] == 1437


def test_the_svm_is_that_of_the_svm_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    made = svm.code_classifier
    monkeypatch.setattr(svm, "code_classifier", lambda width, *engine: asked.append(width) or made(width))
    digits = datasets.load_digits()
    codes = {"nnx": (digits.x_train, digits.x_test)}
    found = classify(digits, codes, Budget(10.0), 1)
    predicted, _ = svm.classify(digits, digits.x_train, digits.x_test)
    assert found["accuracy"]["nnx"] == np.mean(predicted == digits.y_test)
    assert asked == [64, 64]
    assert made(64)[-1].gamma == svm.CODES_WIDTH / 64
