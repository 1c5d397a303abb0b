"""Each framework's worker computes the same losses and ends at the same network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.comparing import EVERY
from support.places import ROOT

from nnx.experiments.compare.agreement import ROUNDED, difference
from nnx.experiments.compare.jobs import Problem
from nnx.experiments.compare.processes import Worker, able, each, environment, in_turn, workers
from nnx.experiments.compare.sides import FRAMEWORKS, sides_of

WORKERS = ROOT / "benchmarks" / "workers"


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
            ("deep", "float32", 1e-3), ("classifier", "float32", 1e-3), ("deep", "bfloat16", ROUNDED),
        ],
    )  # fmt: skip
    def test_the_losses_of_each_step_agree(
        self, pair: dict[str, Worker], known: dict[str, Problem], name: str, dtype: str, tolerance: float
    ) -> None:
        able_ = able(pair, name)
        if set(able_) == {"nnx"}:
            (other,) = set(pair) - {"nnx"}
            assert name not in FRAMEWORKS[other].problems
            return
        if dtype == "bfloat16":
            able_ = {side: worker for side, worker in able_.items() if side != "sklearn"}
        found = each(able_, known[name].steps(20, dtype))
        curves = {side: arrays["losses"] for side, (_, arrays) in found.items()}
        assert curves["nnx"][-1] < curves["nnx"][0]
        for curve in curves.values():
            assert len(curve) == 20
            assert difference(curves["nnx"], curve) < tolerance

    def test_each_framework_rounds_factors_under_bfloat16(
        self, pair: dict[str, Worker], known: dict[str, Problem]
    ) -> None:
        sides = able(pair, "deep")
        half, single = (each(sides, known["deep"].steps(3, dtype)) for dtype in ("bfloat16", "float32"))
        for side in sides:
            rounded, exact = half[side][1]["losses"], single[side][1]["losses"]
            assert 2.0**-16 < abs(rounded[0] / exact[0] - 1.0) < ROUNDED  # float32 rounding is 2⁻²⁴

    def test_training_under_bfloat16_gives_float32_arrays(
        self, pair: dict[str, Worker], known: dict[str, Problem]
    ) -> None:
        for result in in_turn(able(pair, "deep"), known["deep"].training(2, "bfloat16")).values():
            for what in ("predictions", "codes", "test_codes"):
                assert result[what].dtype == np.float32

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
