"""Workers train in turn in real processes; one that fails gives one plain line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.comparing import SIDES, needs_keras

from nnx.errors import NnxError
from nnx.experiments.compare.agreement import difference
from nnx.experiments.compare.jobs import Problem
from nnx.experiments.compare.processes import Worker, confined, environment, in_turn, workers
from nnx.experiments.compare.sides import sides_of


@pytest.fixture(scope="module")
def started(folder: Path, known: dict[str, Problem]) -> Iterator[dict[str, Worker]]:
    with workers(folder, sides_of("numpy", ["keras"]), environment(1, gpu=False)) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "override", "jax"), [("", "0", "highest"), ("0", "0", "highest"), ("1", None, "tensorfloat32")]
)
def test_on_a_gpu_all_workers_round_products_alike(
    monkeypatch: pytest.MonkeyPatch, asked: str, override: str | None, jax: str
) -> None:
    monkeypatch.setenv("CUPY_TF32", asked)
    values = environment(1, gpu=True)
    assert values.get("NVIDIA_TF32_OVERRIDE") == override
    assert values["JAX_DEFAULT_MATMUL_PRECISION"] == jax


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

    def test_each_side_computes_in_the_type_that_a_job_names(
        self, started: dict[str, Worker], known: dict[str, Problem]
    ) -> None:
        # whatever the job before it named: a framework's own default type may outlive a model
        for dtype in ("float64", "float32", "float64"):
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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system gives no process a core")
def test_workers_use_no_more_cores_than_threads() -> None:
    before = os.sched_getaffinity(0)
    with confined(1):
        code = "import os; print(len(os.sched_getaffinity(0)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1
    assert os.sched_getaffinity(0) == before
