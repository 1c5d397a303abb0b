"""nnx and other frameworks in real processes: they agree, or the result says no; failures are plain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.places import ROOT

from nnx import datasets
from nnx.cli.console import print_json, print_table
from nnx.errors import ConfigurationError, MissingLibraryError, NnxError
from nnx.experiments import Result, RunFolder, autoencoder, compare, svm
from nnx.experiments.compare import agreement, plan, processes, sides
from nnx.experiments.compare.agreement import CHECKS, Check, difference
from nnx.experiments.compare.ease import PROGRAMS, installed_megabytes
from nnx.experiments.compare.jobs import TIMED, Problem, problems
from nnx.experiments.compare.measure import affordable, classify
from nnx.experiments.compare.plan import Budget
from nnx.experiments.compare.processes import Worker, able, confined, each, environment, in_turn, workers
from nnx.experiments.compare.sides import FRAMEWORKS, TITLES, absent, problems_of, sides_of

needs_keras = [
    pytest.mark.keras,
    pytest.mark.skipif(
        find_spec("tensorflow") is None or find_spec("keras") is None,
        reason="TensorFlow is not installed: pip install 'nnx-arrays[compare]'",
    ),
]
SIDES = ("nnx", "keras", "keras_xla")
WORKERS = ROOT / "benchmarks" / "workers"
EVERY = {  # each framework that can be compared, skipped where it is not installed
    name: pytest.param(
        name,
        marks=needs_keras if name == "keras" else pytest.mark.skipif(bool(absent(name)), reason=absent(name)),
    )
    for name in FRAMEWORKS
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def known(folder: Path) -> dict[str, Problem]:
    return problems(folder, datasets.load_digits(), 0, FRAMEWORKS["keras"].problems)


@pytest.fixture(scope="module")
def started(folder: Path, known: dict[str, Problem]) -> Iterator[dict[str, Worker]]:
    with workers(folder, sides_of("numpy", ["keras"]), environment(1, gpu=False)) as running:
        yield running


@pytest.fixture(scope="module", params=EVERY.values())
def pair(request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, Worker]]:
    """nnx, and each way to use one framework."""
    with workers(folder, sides_of("numpy", [request.param]), environment(1, gpu=False)) as running:
        yield running


class TestEveryFramework:
    @pytest.mark.parametrize(
        ("name", "dtype", "tolerance"),
        [
            *((name, "float64", 1e-9) for name in FRAMEWORKS["keras"].problems),
            ("deep", "float32", 1e-3), ("classifier", "float32", 1e-3),
        ],
    )  # fmt: skip
    def test_the_losses_of_each_step_agree(
        self, pair: dict[str, Worker], known: dict[str, Problem], name: str, dtype: str, tolerance: float
    ) -> None:
        able_ = able(pair, name)
        if set(able_) == {"nnx"}:
            assert set(pair) == {"nnx", "sklearn"}
            return
        found = each(able_, known[name].steps(20, dtype))
        curves = {side: arrays["losses"] for side, (_, arrays) in found.items()}
        assert curves["nnx"][-1] < curves["nnx"][0]
        for curve in curves.values():
            assert len(curve) == 20
            assert difference(curves["nnx"], curve) < tolerance

    @pytest.mark.parametrize(("name", "epochs"), [("deep", 2), ("xor_shallow", 40), ("classifier", 2)])
    def test_training_in_turn_ends_at_the_same_network(
        self, pair: dict[str, Worker], known: dict[str, Problem], name: str, epochs: int
    ) -> None:
        job = known[name].training(epochs, "float64")
        found = in_turn(able(pair, name), job)
        for result in found.values():
            assert len(result["seconds"]) == len(job["stops"])
            assert min(result["seconds"]) > 0.0
            for what in ("losses", "predictions", *(("codes", "test_codes") if name == "deep" else ())):
                assert result[what].dtype == np.float64
                np.testing.assert_allclose(result[what], found["nnx"][what], rtol=1e-6, atol=1e-9)

    def test_a_turn_resumes_or_restarts_as_its_job_says(
        self, pair: dict[str, Worker], known: dict[str, Problem]
    ) -> None:
        """The benchmarks' jobs: all sides see the same losses, turn by turn."""
        turns = {"task": "turns", "dtype": "float64", "check": 2}
        resumed = (
            known["classifier"].job | turns | {"rows": 640, "turn": 5, "restart": False, "shuffle": False}
        )
        again = known["xor_deep"].job | turns | {"turn": 5, "restart": True}
        for job in [resumed] if "sklearn" in pair else [resumed, again]:
            losses = {}
            for side, worker in able(pair, job["name"]).items():
                script = WORKERS / f"{worker.command[-1].rpartition('.')[2]}.py"
                timed = Worker(side, (str(script),), worker.folder, worker.argument, worker.variables).greet()
                timed.start(job)
                timed.expect("ready")
                losses[side] = [timed.part()["loss"] for _ in range(3)]
                timed.send({"go": False})
                timed.finish()
                timed.close()
            for loss in losses.values():
                np.testing.assert_allclose(loss, losses["nnx"], rtol=1e-6)
            assert (losses["nnx"][0] == losses["nnx"][1]) == job["restart"]


class TestWorkers:
    pytestmark = needs_keras

    @pytest.mark.parametrize(("name", "epochs", "last"), [("deep", 4, 2), ("xor_deep", 40, 16)])
    def test_training_ends_on_all_sides_after_the_same_epoch(
        self, started: dict[str, Worker], known: dict[str, Problem], name: str, epochs: int, last: int
    ) -> None:
        """Where the time is over: all have the same epochs, and the same numbers as far as they came."""
        problem = known[name]
        step = last * problem.steps_an_epoch
        found = in_turn(started, problem.training(epochs, "float64"), lambda done: done >= step)
        parts = [len(found[side]["seconds"]) for side in SIDES]
        assert len(set(parts)) == 1
        assert problem.stops(epochs)[parts[0] - 1] == step
        for side in SIDES:
            np.testing.assert_allclose(found[side]["losses"], found["nnx"]["losses"], rtol=1e-6)
            np.testing.assert_allclose(found[side]["predictions"], found["nnx"]["predictions"], rtol=1e-6)
        if name == "deep":
            assert len(found["nnx"]["losses"]) == last

    @pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32", "float64")])
    def test_each_side_computes_in_the_type_that_a_job_names(
        self, started: dict[str, Worker], known: dict[str, Problem], dtypes: tuple[str, str]
    ) -> None:
        # whatever the job before it named: a framework's own default type may outlive a model
        for dtype in dtypes:
            found = in_turn(started, known["deep"].training(2, dtype))
            computed = {side: str(found[side]["predictions"].dtype) for side in SIDES}
            assert computed == dict.fromkeys(SIDES, dtype)

    def test_a_wrong_learning_rate_on_one_side_is_seen(
        self, started: dict[str, Worker], known: dict[str, Problem]
    ) -> None:
        job = known["xor_deep"].steps(20, "float64")
        curves = {}
        for side, rate in (("nnx", 0.1), ("keras", 0.1001)):
            schedule = {"kind": "Constant", "learning_rate": rate}
            started[side].start(job | {"optimizer": job["optimizer"] | {"schedule": schedule}})
            curves[side] = started[side].finish()[1]["losses"]
        assert difference(curves["nnx"], curves["keras"]) > 1e-6

    @pytest.mark.parametrize("side", SIDES)
    def test_a_job_that_fails_gives_one_line_and_the_worker_continues(
        self, started: dict[str, Worker], known: dict[str, Problem], side: str
    ) -> None:
        worker = started[side]
        worker.start(known["xor_deep"].steps(1, "float64") | {"weights": "absent"})
        with pytest.raises(NnxError, match="steps of xor_deep: FileNotFoundError") as caught:
            worker.finish()
        assert "\n" not in str(caught.value)
        worker.start(known["xor_deep"].steps(1, "float64"))
        assert len(worker.finish()[1]["losses"]) == 1

    def test_a_worker_that_is_killed_gives_one_line(self, folder: Path, known: dict[str, Problem]) -> None:
        worker = Worker.of(sides_of("numpy", [])["nnx"], folder, environment(1, gpu=False)).greet()
        worker.process.kill()
        worker.start(known["xor_deep"].steps(1, "float64"))
        with pytest.raises(NnxError, match=r"nnx's process .*status -9.* steps of") as caught:
            worker.finish()
        worker.close()
        assert "\n" not in str(caught.value)

    def test_a_worker_that_cannot_start_says_why(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "keras.py").write_text("raise RuntimeError('a broken installation')\n")
        variables = environment(1, gpu=False)
        variables["PYTHONPATH"] = os.pathsep.join([str(tmp_path), variables["PYTHONPATH"]])
        with pytest.raises(NnxError, match=r"Keras's process .*status 1 .*a broken installation"):
            Worker.of(sides_of("numpy", ["keras"])["keras"], folder, variables).greet()


SHORT = {
    "float64": Check("deep", "float64", 20, 1e-9),
    "float32": Check("deep", "float32", 20, 1e-3),
    "shallow_float64": Check("shallow", "float64", 5, 1e-9),
    "shallow_float32": Check("shallow", "float32", 5, 1e-3),
    "xor_float64": Check("xor_deep", "float64", 5, 1e-9),
    "xor_shallow_float64": Check("xor_shallow", "float64", 5, 1e-9),
}


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


def test_the_svm_takes_every_row_where_there_is_time() -> None:
    digits = datasets.load_digits()
    codes = dict.fromkeys(("nnx", "keras"), (digits.x_train, digits.x_test))
    found = classify(digits, codes, Budget(10.0), 1)
    assert found["rows"] == found["rows_in_all"] == len(digits.x_train)
    assert found["accuracy"]["nnx"] == found["accuracy"]["keras"] > 0.95


@pytest.mark.parametrize("side", ["nnx", EVERY["keras"], EVERY["torch"]])
def test_the_programs_whose_lines_are_counted_run(side: str) -> None:
    ending = "\nassert codes.shape == (256, 64), codes.shape"
    program = "import numpy as np\nx = np.full((256, 784), 0.5, np.float32)\n" + PROGRAMS[side] + ending
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(1, gpu=False),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_budget_counts_what_was_spent_before_and_keeps_time_for_what_follows() -> None:
    budget = Budget(2.0, spent=30.0)
    later = plan.LATER * 30.0
    assert 30.0 <= budget.spent() < 31.0
    assert budget.left() == pytest.approx(max(0.0, 90.0 - later), abs=1.0)
    assert Budget(1.0, spent=90.0).left() == 0.0


def test_every_part_keeps_what_it_takes_at_least() -> None:
    budget = Budget(10.0)
    budget.plan(["deep", "shallow"], job=10.0, step=1.0, svm=7.0)
    least = {name: plan.LEAST[name][0] * 10.0 + plan.LEAST[name][1] for name in ("deep", "shallow")}
    assert budget.least == least | {"svm": 7.0}
    free = 600.0 - sum(budget.least.values())
    assert budget.free() == pytest.approx(free, abs=1.0)
    with budget.part("deep", 0.5) as end:
        assert end == pytest.approx(least["deep"] + free / 2, abs=1.0)
    assert set(budget.least) == {"shallow", "svm"}
    assert budget.took["deep"] < 1.0
    assert budget.free() == pytest.approx(free + least["deep"], abs=1.0)  # it took no time: the rest has more


def test_minutes_that_are_too_few_are_refused_with_those_that_are_needed() -> None:
    budget = Budget(1.0, spent=10.0)
    with pytest.raises(ConfigurationError, match="--minutes 1 is too short") as caught:
        budget.plan(["deep", "shallow"], job=20.0, step=1.0, svm=5.0)
    least = 5.0 + sum(20.0 * plan.LEAST[name][0] + plan.LEAST[name][1] for name in ("deep", "shallow"))
    needed = 10.0 + 10.0 * plan.LATER + plan.MARGIN * least
    stated = float(str(caught.value).split("about ")[1].split()[0])
    assert needed / 60.0 < stated < needed / 60.0 + 0.2
    Budget(stated, spent=10.0).plan(["deep", "shallow"], job=20.0, step=1.0, svm=5.0)


def test_every_check_and_problem_has_a_place_in_the_plan() -> None:
    assert set(plan.LEAST) == {
        *(f"agreement {name}" for name in CHECKS), *FRAMEWORKS["keras"].problems, "xor_fit",
    }  # fmt: skip


def test_the_classifier_is_computed_where_a_framework_can_do_nothing_else() -> None:
    names = ["xor_deep", "xor_shallow", "deep", "shallow"]
    assert problems_of(sides_of("cpu", ["keras", "torch"])) == names
    assert problems_of(sides_of("cpu", ["torch", "sklearn"])) == [*names, "classifier"]
    assert problems_of(sides_of("cpu", ["sklearn"])) == ["classifier"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system gives no process a core")
def test_workers_use_no_more_cores_than_threads() -> None:
    before = os.sched_getaffinity(0)
    with confined(1):
        code = "import os; print(len(os.sched_getaffinity(0)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1
    assert os.sched_getaffinity(0) == before


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


@pytest.mark.parametrize("epochs", [2, 3, 4, 7])
def test_an_autoencoder_is_timed_in_three_parts_at_least(known: dict[str, Problem], epochs: int) -> None:
    problem = known["deep"]
    stops = problem.stops(epochs)
    assert stops == sorted(set(stops))
    assert set(stops) >= {problem.steps_an_epoch * (epoch + 1) for epoch in range(epochs)}
    assert stops[0] == problem.steps_an_epoch  # whatever compiles is in the first part
    assert stops[-1] == epochs * problem.steps_an_epoch
    assert len(stops) >= 4
    assert problem.least_epochs == 2


@pytest.mark.parametrize(("epochs", "parts"), [(4, 4), (15, 10), (5000, 10)])
def test_xor_is_timed_in_three_parts_at_least(known: dict[str, Problem], epochs: int, parts: int) -> None:
    stops = known["xor_deep"].stops(epochs)
    assert stops == sorted(set(stops))
    assert len(stops) == parts
    assert stops[-1] == epochs
    assert known["xor_deep"].least_epochs == 4


def test_the_autoencoders_are_trained_as_their_experiment_trains_them(known: dict[str, Problem]) -> None:
    for name in ("deep", "shallow"):
        preset = autoencoder.settled(autoencoder.Config(name), datasets.load_digits())
        assert known[name].epochs == preset.epochs
        assert known[name].job["batch_size"] == preset.batch_size


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


def test_a_number_that_is_not_finite_is_null_in_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result("compare", "", "digits", "cpu", "numpy", "float64", 0)
    result.metrics = {"losses": [1.0, float("nan")], "nested": {"pair": (float("-inf"), 2)}}
    expected = {"losses": [1.0, None], "nested": {"pair": [None, 2]}}

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    RunFolder.create(tmp_path / "run").write(result)
    stored = json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=refuse)
    assert stored["metrics"] == expected
    print_json(result.metrics)
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == expected


def test_the_svm_of_a_given_model_reports_no_training(tmp_path: Path) -> None:
    digits = datasets.load_digits()
    network = autoencoder.build(autoencoder.Config("shallow", seed=5, device="cpu"), digits.features)
    network.save(tmp_path / "model.safetensors", {"preset": "shallow"})
    config = svm.Config(str(tmp_path / "model.safetensors"), dataset="digits", device="cpu")
    result = svm.run(config, data=digits)
    assert (result.preset, result.seed) == ("shallow", 5)
    assert result.config["model"] == config.model
    assert result.config["preset"] is None
    assert result.config["seed"] is None


def test_installed_size() -> None:
    size = installed_megabytes(["numpy"])
    assert size is not None
    assert 10.0 < size < 500.0
    assert installed_megabytes(["numpy", "no-such-distribution"]) is None
