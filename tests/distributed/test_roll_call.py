"""If a rank fails or stops during training, the job ends, and one line names that rank."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support import mpi_jobs
from support.mpi_jobs import JOBS, TIMEOUT, needs_mpi, until

import nnx


def start(tmp_path: Path, way: str, ranks: int = 3) -> tuple:
    process = mpi_jobs.start(ranks, JOBS / "failing.py", tmp_path, way, TIMEOUT)
    return process, lambda rank: int((tmp_path / f"pid-{rank}").read_text())


def training(tmp_path: Path) -> bool:
    epoch = tmp_path / "epoch"
    return epoch.exists() and int(epoch.read_text() or 0) > 3


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


class TestARankThatFails:
    pytestmark = needs_mpi

    @pytest.mark.parametrize("rank", [0, 2])
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    def test_ends_the_job_and_is_named(self, tmp_path, rank, number):
        process, pid = start(tmp_path, "wait")
        until(lambda: training(tmp_path), process)
        pids = [pid(every) for every in range(3)]
        os.kill(pids[rank], number)
        _, err = process.communicate(timeout=TIMEOUT + 12)
        assert process.returncode != 0
        ours = [line for line in err.splitlines() if f"rank {rank} " in line]
        if number == signal.SIGKILL:
            assert len(ours) == 1, err
            assert ours[0].startswith(f"nnx: rank {rank} was ended by SIGKILL")
        else:
            assert len(ours) == 1, err
            assert f"rank {rank} did not " in ours[0]
            assert f"within {TIMEOUT:g} s" in ours[0]
        until(lambda: all(map(gone, pids)), type("Ended", (), {"poll": lambda self: None})())
        nnx.load(tmp_path / "model.safetensors")

    def test_an_error_on_one_rank_ends_all(self, tmp_path):
        process, _ = start(tmp_path, "error")
        _, err = process.communicate(timeout=30)
        assert process.returncode != 0
        assert err.count("OSError: the disk of rank 1 is gone") == 1

    @pytest.mark.parametrize(
        ("way", "text"),
        [
            ("data", "rank 1 of 3 differ in the training data"),
            ("option", "rank 1 of 3 differ in optimizer"),
            ("library", 'rank 1 of 3 differ in the version of NumPy: "1.0" instead of'),
        ],
    )
    def test_what_does_not_fit_is_refused_before_the_start(self, tmp_path, way, text):
        done = mpi_jobs.run(3, JOBS / "failing.py", tmp_path, way, TIMEOUT)
        assert done.returncode != 0
        assert done.stderr.count(text) == 1, done.stderr
        assert not (tmp_path / "epoch").exists()
