"""The tables of a comparison have a column for each side, and hide no difference."""

from __future__ import annotations

import json

import pytest

from nnx.cli.console import print_table
from nnx.experiments import Result, compare
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.sides import TITLES


def test_the_tables_show_what_a_framework_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "_refuse_too_short", lambda budget: None)
    config = compare.Config(minutes=0.05, dataset="digits", threads=1, frameworks=("sklearn",))
    result = compare.run(config)
    assert result.metrics["agree"] is True
    assert set(result.metrics["speedup"]) == {"classifier"}
    accuracy = result.metrics["classifier"]["accuracy"]
    assert accuracy["sklearn"] == pytest.approx(accuracy["nnx"], abs=0.02)
    speedup, measured, agreed, losses = compare.tables(result)
    assert speedup.title == "A step in scikit-learn takes so many times as long as in nnx"
    assert measured.header == ("", "nnx", "scikit-learn", "repeats")
    assert [row[0] for row in agreed.rows] == ["classifier, float64", "classifier, float32"]
    assert losses.header == ("epoch", "nnx", "scikit-learn")
    assert any("alpha=0" in note and "epsilon" in note for note in result.notes)  # what differs is stated
    json.dumps(result.to_json(), allow_nan=False)


def test_all_sides_fit_one_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison with every framework, from stored numbers: no column is left out."""
    check = {"problem": "classifier", "dtype": "float64", "steps": 200, "tolerance": 1e-6, "agree": True}
    others = [side for side in TITLES if side != "nnx"]
    row = {"what": "classifier: a step", "unit": "ms", "repeats": 9} | dict.fromkeys(TITLES, 1.5)
    result = Result("compare", "", "digits", "cpu", "numpy", "float32", 0)
    result.metrics = {
        "agree": True, "agreement": {"classifier_float64": check | dict.fromkeys(others, 1e-15)},
        "table": [row], "speedup": {"classifier": dict.fromkeys(others, 3.0)},
        "xor_predictions": {}, "xor_losses": {},
    }  # fmt: skip
    titles = ("Keras", "Keras XLA", "PyTorch", "JAX", "scikit-learn")
    speedup, measured, agreed = compare.tables(result)
    assert speedup.header == ("", *titles)
    assert measured.header == ("", "nnx", *titles, "repeats")
    assert agreed.header == ("largest relative difference", "steps", *titles, "tolerance", "agree")
    monkeypatch.setenv("COLUMNS", "120")
    print_table(measured.title, measured.header, measured.rows)
    assert "1.5 ms   1.5 ms" in " ".join(capsys.readouterr().out.split("\n"))
