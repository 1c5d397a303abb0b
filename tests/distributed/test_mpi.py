"""Several ranks that MPI connects train like one process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import mpi_jobs
from support.mpi_jobs import JOBS, needs_mpi

CASES = (
    "plain",
    "norm+dropout",
    "labels+weights",
    "thin+norm",
    "whole+augment",
    "stopping",
    "positions",
    "images",
    "terms+weights",
    "average",
)


def curves(ranks: int, dtype: str, steps: int) -> dict:
    done = mpi_jobs.run(ranks, JOBS / "curves.py", dtype, steps, *CASES)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=[("float64", 200, 1e-9), ("float32", 50, 1e-3)], ids=lambda p: p[0])
def alone(request: pytest.FixtureRequest) -> tuple[str, int, float, dict]:
    dtype, steps, tolerance = request.param
    return dtype, steps, tolerance, curves(0, dtype, steps)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
class TestRanksTrainAsOneProcess:
    pytestmark = needs_mpi

    def test_losses_and_metrics_are_the_same(self, alone, ranks):
        dtype, steps, tolerance, expected = alone
        found = curves(ranks, dtype, steps)
        for case in CASES:
            assert found[case]["steps"] == expected[case]["steps"]
            assert expected[case]["steps"] >= steps or case == "stopping"
            assert found[case]["metrics"].keys() == expected[case]["metrics"].keys()
            for name, values in expected[case]["metrics"].items():
                if case == "terms+weights" and name.startswith("val_"):
                    continue  # each rank takes these terms of its own rows
                np.testing.assert_allclose(
                    found[case]["metrics"][name], values, rtol=tolerance, err_msg=f"{case} {name}"
                )
            for name, values in expected[case]["values"].items():  # running statistics among them
                np.testing.assert_allclose(
                    found[case]["values"][name], values, rtol=0, atol=100 * tolerance, err_msg=name
                )
        assert expected["stopping"]["steps"] < expected["plain"]["steps"], "the case stops nothing"

    def test_averages_do_not_change_training_but_are_what_the_network_has(self, alone, ranks):
        del ranks
        averaged, plain = (alone[3][case] for case in ("average", "plain"))
        assert averaged["metrics"]["loss"] == plain["metrics"]["loss"]
        assert averaged["metrics"]["val_loss"] != plain["metrics"]["val_loss"]
        assert all(averaged["values"][name] != values for name, values in plain["values"].items())


@pytest.mark.parametrize("ranks", [2, 3])
class TestRanksInBfloat16:
    pytestmark = needs_mpi

    def test_train_as_one_process(self, ranks):
        """Gradients are summed in another order. So a few weights are rounded to the next bfloat16 number."""
        alone, found = curves(0, "bfloat16", 20), curves(ranks, "bfloat16", 20)
        rounded_nothing = curves(0, "float32", 20)
        for case in CASES:
            assert found[case]["steps"] == alone[case]["steps"]
            losses = alone[case]["metrics"]["loss"]
            np.testing.assert_allclose(found[case]["metrics"]["loss"], losses, rtol=2**-8, err_msg=case)
            assert losses != rounded_nothing[case]["metrics"]["loss"], "nothing was rounded"
