"""nnx and other frameworks are compared in real processes: all is measured, or the result says no."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.comparing import SHORT, SIDES, needs_keras

from nnx.cli.console import print_table
from nnx.errors import ConfigurationError, MissingLibraryError
from nnx.experiments import compare
from nnx.experiments.compare import agreement, processes, sides
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.processes import Worker, environment
from nnx.experiments.compare.sides import FRAMEWORKS

TIMES = ("a step", "compiling", "import")


class TestRun:
    pytestmark = needs_keras

    def test_everything_is_measured(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(agreement, "CHECKS", SHORT)
        monkeypatch.setattr(Budget, "_refuse_too_short", lambda budget: None)
        said: list[str] = []
        config = compare.Config(minutes=0.05, dataset="digits", threads=1)
        result = compare.run(config, progress=said.append)
        metrics = result.metrics
        assert metrics["agree"] is True
        assert set(metrics["agreement"]) == set(SHORT)
        assert metrics["agreement"]["float64"]["max_relative_difference"] < 1e-9
        assert set(metrics["speedup"]) == {"xor_deep", "xor_shallow", "deep", "shallow", "xor_fit"}
        np.testing.assert_allclose(
            metrics["xor_predictions"]["xor_deep"]["nnx"],
            metrics["xor_predictions"]["xor_deep"]["keras"],
            rtol=1e-3,
        )
        assert metrics["xor_predictions"]["xor_deep"]["reported"]["System A"] == (0.022, 0.954, 0.961, 0.046)
        assert metrics["xor_losses"]["xor_deep"][0][0] == 0
        errors = metrics["test_mse"]["deep"]
        assert errors["keras"] == pytest.approx(errors["nnx"], rel=1e-2)
        assert set(metrics["svm"]["accuracy"]) == {"nnx", "keras"}
        assert all(0.5 < value <= 1.0 for value in metrics["svm"]["accuracy"].values())
        assert all(len(metrics["first_steps"][side]) == 1 for side in SIDES)
        for of_sides in metrics["times"].values():
            assert all(times["repeats"] >= 3 for times in of_sides.values())
        used = [note for note in result.notes if note.startswith("used on each side: ")]
        assert len(used) == 1
        assert "deep 2 of 100 epochs" in used[0]
        assert used[0].endswith("to keep to the time (--minutes)")
        assert any("1 thread;" in note for note in result.notes)
        for name in ("deep", "shallow", "xor_deep", "agreement_float64"):
            assert result.arrays[f"{name}_nnx"].shape == result.arrays[f"{name}_keras"].shape
            if not name.startswith("agreement"):
                assert result.arrays[f"{name}_epochs"].shape == result.arrays[f"{name}_nnx"].shape
        assert any("agreement float64" in line for line in said)
        json.dumps(result.to_json(), allow_nan=False)
        self.check_tables(compare.tables(result))
        self.check_width(compare.tables(result), monkeypatch, capsys)

    @staticmethod
    def check_tables(tables: list[compare.Table]) -> None:
        assert len(tables) == 9
        for table in tables:
            assert table.title
            assert table.rows
            for row in table.rows:
                assert len(row) == len(table.header)
                assert all(isinstance(cell, str) for cell in row)
        assert tables[1].header == ("", "nnx", "Keras", "Keras XLA", "repeats")
        repeats = {row[0]: row[-1] for row in tables[1].rows}
        for what in ("XOR, System A's: right", "XOR, System B's: a step", "SVM on ",
                     "deep autoencoder: test MSE per pixel", "first step of a process, compiling",
                     "shallow autoencoder: a step", "ease of use: import", "ease of use: lines"):  # fmt: skip
            (found,) = [row for row in repeats if row.startswith(what)]
            assert (repeats[found] == "–") == (not what.endswith(TIMES))
        titles = [table.title for table in tables]
        assert "XOR, System A's: predictions" in titles
        assert "XOR, System A's: losses" in titles

    @staticmethod
    def check_width(
        tables: list[compare.Table], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "100")
        for table in tables:
            capsys.readouterr()
            print_table(table.title, table.header, table.rows)
            lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
            assert max(map(len, lines)) <= 100
            assert len(lines) == len(table.rows) + 3  # title, header, rule: no cell is folded

    def test_a_disagreement_is_reported_and_no_speedup_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start = Worker.start

        def altered(worker: Worker, job: dict[str, Any]) -> None:
            if worker.title == "Keras":
                schedule = job["optimizer"]["schedule"] | {"learning_rate": 1.01e-3}
                job = job | {"optimizer": job["optimizer"] | {"schedule": schedule}}
            start(worker, job)

        monkeypatch.setattr(Worker, "start", altered)
        monkeypatch.setattr(agreement, "CHECKS", {"float64": SHORT["float64"]})
        monkeypatch.setattr(Budget, "_refuse_too_short", lambda budget: None)
        result = compare.run(compare.Config(minutes=0.05, dataset="digits", threads=1))
        assert result.metrics["agree"] is False
        found = result.metrics["agreement"]["float64"]
        assert found["agree"] is False
        assert found["keras"] > 1e-4 > 1e-9 > found["keras_xla"]
        assert set(result.metrics) == {"agree", "agreement", "plan"}
        assert "of nnx and Keras do not agree on deep in float64" in result.notes[0]
        assert result.arrays["agreement_float64_keras"].shape == (20,)
        (table,) = compare.tables(result)
        assert table.rows[0][-1] == "NO"


class TestRefusals:
    @pytest.mark.parametrize("name", FRAMEWORKS)
    def test_a_missing_framework_is_named_with_its_command_before_anything_starts(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(sides, "find_spec", lambda module: None)
        monkeypatch.setattr(processes.subprocess, "Popen", None)
        about = FRAMEWORKS[name]
        with pytest.raises(MissingLibraryError) as caught:
            compare.run(compare.Config(dataset="digits", frameworks=(name,)))
        assert str(caught.value) == f"{about.title} is not installed: {about.install}"

    def test_all_takes_what_is_installed_and_names_the_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sides, "find_spec", lambda module: None if module == "torch" else module)
        missing = ["PyTorch is not installed: pip install torch"]
        assert sides.chosen(["all"]) == (("keras", "jax", "sklearn"), missing)
        assert sides.chosen(["sklearn", "jax"]) == (("jax", "sklearn"), [])
        monkeypatch.setattr(sides, "find_spec", lambda module: None)
        with pytest.raises(MissingLibraryError, match="pip install jax"):
            sides.chosen(["all"])

    def test_a_framework_without_the_precision_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sides, "find_spec", lambda module: module)
        frameworks, notes = sides.chosen(["all"], "bfloat16")
        assert (frameworks, notes) == (
            ("keras", "torch", "jax"),
            ["scikit-learn cannot compute with bfloat16"],
        )
        config = compare.Config(
            dataset="digits", frameworks=("sklearn",), device="numpy", precision="bfloat16"
        )
        with pytest.raises(ConfigurationError, match=r"scikit-learn .* bfloat16: leave it out of --with"):
            compare.run(config)

    def test_an_unknown_framework_is_answered_with_the_nearest(self) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'torch'"):
            compare.run(compare.Config(dataset="digits", frameworks=("troch",)))

    def test_a_module_that_cannot_be_imported_is_reported(self) -> None:
        with pytest.raises(MissingLibraryError, match=r"no_such_module .*cannot be imported"):
            processes.import_seconds("no_such_module", 1, environment(1, gpu=False))

    @pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
    def test_minutes(self, minutes: float) -> None:
        with pytest.raises(ConfigurationError, match="minutes must be a positive number"):
            compare.run(compare.Config(minutes=minutes))

    @pytest.mark.parametrize("threads", [0, -2, True])
    def test_threads(self, threads: int) -> None:
        with pytest.raises(ConfigurationError, match="threads must be a positive integer"):
            compare.run(compare.Config(threads=threads))
