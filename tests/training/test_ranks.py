"""Ranks read their own rows, stop together, and resume with another number of ranks."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support import mpi_jobs
from support.mpi_jobs import JOBS, needs_mpi, until

import nnx


def resuming(folder: Path, ranks: int, how: str) -> str:
    done = mpi_jobs.run(ranks, JOBS / "resuming.py", folder, how)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of one process that nothing stops."""
    losses = json.loads(resuming(tmp_path_factory.mktemp("whole"), 0, "whole"))
    assert len(losses) == 10
    return losses


class TestAnotherNumberOfRanksGoesOn:
    pytestmark = needs_mpi

    @pytest.mark.parametrize(("first", "second"), [(4, 2), (2, 1), (1, 2), (3, 2), (2, 3), (3, 0), (0, 2)])
    def test_as_if_it_had_never_stopped(self, tmp_path, whole, first, second):
        """One rank gets the signal, in the middle of an epoch; all end after the same step."""
        step = resuming(tmp_path, first, "half")
        assert step in ("step 13", "step 14")  # or one step later, as the others hear of it
        np.testing.assert_allclose(json.loads(resuming(tmp_path, second, "resume")), whole, rtol=1e-9)

    def test_after_an_interrupt_of_the_launcher(self, tmp_path, whole):
        process = mpi_jobs.start(3, JOBS / "resuming.py", tmp_path, "slow")
        until((tmp_path / "slow").exists, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        step = next(line for line in out.splitlines() if line.startswith("step "))
        assert 13 <= int(step.split()[1]) < 50, err
        np.testing.assert_allclose(json.loads(resuming(tmp_path, 2, "resume")), whole, rtol=1e-9)

    def test_after_one_was_killed(self, tmp_path, whole):
        """The last checkpoint is the one before: of step 10, where the rank is killed after 13."""
        done = mpi_jobs.run(3, JOBS / "resuming.py", tmp_path, "killed")
        assert done.returncode != 0
        assert done.stderr.count("nnx: rank 2 was ended by SIGKILL") == 1
        kept = sorted((tmp_path / "kept").glob("*.safetensors"))
        assert "fit-1-step-10.safetensors" in [path.name for path in kept]
        for path in kept:
            nnx.load(path)
        np.testing.assert_allclose(json.loads(resuming(tmp_path, 2, "resume")), whole, rtol=1e-9)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict]]:
    """Of a job of so many ranks, what each of them tells."""
    found, folder = {}, tmp_path_factory.mktemp("shards")
    for ranks in (0, 2, 3):
        done = mpi_jobs.run(ranks, JOBS / "sharing.py", folder)
        assert done.returncode == 0, done.stderr
        found[ranks] = json.loads(done.stdout)
    return found


class TestRanksShareWork:
    pytestmark = needs_mpi

    @pytest.mark.parametrize("ranks", [2, 3])
    @pytest.mark.parametrize("batch_size", [32, 83])  # the last of 333 rows: 13 of them, 1 of them
    def test_each_reads_its_rows_of_mapped_shards_only(self, told, ranks, batch_size):
        rows, batches, epochs = 333, -(-333 // batch_size), 3
        alone = told[0][0][str(batch_size)]
        every = [each[str(batch_size)] for each in told[ranks]]
        assert len(alone["rows"]) == epochs * rows
        counts = [len(each["rows"]) for each in every]
        unused = (ranks - 1) * epochs if batch_size == 83 else 0  # one row is one rank's; all run the step
        assert sum(counts) == epochs * rows + unused
        assert max(counts) - min(counts) <= epochs * batches, counts
        read = Counter(number for each in every for number in each["rows"])
        assert read.keys() == set(range(rows))
        assert min(read.values()) == epochs
        for each in every:
            assert each["loss"] == every[0]["loss"]
            np.testing.assert_allclose(each["loss"], alone["loss"], rtol=1e-9)

    @pytest.mark.parametrize("ranks", [2, 3])
    def test_all_stop_in_the_epoch_in_which_one_says_so(self, told, ranks):
        for watching in range(ranks):
            stopped = [each["stop"][watching] for each in told[ranks]]
            assert stopped == stopped[:1] * ranks
            assert stopped[0]["epochs"] == told[0][0]["stop"][0]["epochs"] == 3

    def test_parameters_that_one_alone_puts_back_are_refused(self, tmp_path):
        done = mpi_jobs.run(2, JOBS / "sharing.py", tmp_path, "best")
        assert done.returncode != 0
        assert done.stderr.count("differ in the parameters after on_train_end of the callbacks") == 1

    def test_all_stop_where_one_says_so(self, tmp_path):
        for ranks in (2, 3):
            done = mpi_jobs.run(ranks, JOBS / "resuming.py", tmp_path / str(ranks), "stop")
            assert done.returncode == 0, done.stderr
            assert len(json.loads(done.stdout)) == 3
