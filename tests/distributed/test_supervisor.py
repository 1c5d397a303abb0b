"""Ranks that do not respond: the job ends within its time limit, and a line names them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import mpi_jobs
from support.mpi_jobs import JOBS, needs_mpi, until

from nnx.distributed import supervisor

LIMIT = 5.0  # seconds: more than ranks' starts differ by on a busy machine

pytestmark = needs_mpi


def ours(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("nnx: ")]


class TestARankThatNeverJoins:
    @pytest.mark.parametrize(("ranks", "odd", "what"), [(2, 1, "fails"), (3, 0, "ends"), (2, 0, "is busy")])
    def test_is_named_by_one_line_and_the_job_ends(self, tmp_path, ranks, odd, what):
        began = time.monotonic()
        done = mpi_jobs.run(ranks, JOBS / "joining.py", tmp_path, odd, what, LIMIT, seconds=40)
        (line,) = ours(done.stderr)
        told = re.match(rf"nnx: rank {odd} did not join .* 5 s .* rank (\d+): ", line)
        assert told, line
        assert int(told[1]) in set(range(ranks)) - {odd}  # which one reports depends on who came first
        assert done.returncode != 0
        assert time.monotonic() - began < 30
        assert "joined" not in done.stdout

    def test_ends_the_others_where_no_process_can_watch_them(self, tmp_path):
        done = mpi_jobs.run(2, JOBS / "joining.py", tmp_path, 1, "threads", LIMIT, seconds=40)
        assert done.returncode != 0
        assert "Timeout (0:00:05)" in done.stderr
        assert "in connect" in done.stderr

    def test_all_join_where_all_come(self, tmp_path):
        done = mpi_jobs.run(3, JOBS / "joining.py", tmp_path, 9, "nothing", 60, seconds=70)
        assert done.returncode == 0, done.stderr
        assert sorted(done.stdout.splitlines()) == [f"rank {rank} of 3 joined" for rank in range(3)]


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize(("what", "mark"), [("is busy", "pid"), ("stays", "joined")])
    def test_end_a_rank_that_waits_for_the_others(self, tmp_path, number, what, mark):
        """While it joins them, and at the end, where it waits for them within MPI."""
        process = mpi_jobs.start(2, JOBS / "joining.py", tmp_path, 1, what, 60)
        until(lambda: all((tmp_path / f"{mark}-{rank}").exists() for rank in (0, 1)), process)
        time.sleep(1.0)  # it has not come from Python to MPI yet
        rank = int((tmp_path / f"{mark}-0").read_text())
        os.kill(rank, number)
        began = time.monotonic()
        while alive(rank) and time.monotonic() < began + 5:
            time.sleep(0.05)
        assert not alive(rank)
        lines = process.stderr  # the launcher forwards the line later: it is read until it comes
        assert lines is not None
        timer = threading.Timer(20, process.kill)
        timer.start()
        assert any(f"nnx: rank 0 was ended by {number.name}" in line for line in lines)
        timer.cancel()
        process.kill()
        process.communicate()


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "d.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((64, 5)), y=rng.integers(0, 2, 64))
    return path


MISSING = "Invalid value for 'DATA': 'missing.npz' does not exist"
USUAL = ("--distributed", "mpi", "--epochs", "2", "-q")


class TestTheCommandLine:
    @pytest.mark.parametrize(
        ("odd", "mistake", "told"),
        [
            (1, ["train", "missing.npz", *USUAL], f"rank 1: {MISSING}"),
            (0, ["train", "missing.npz", *USUAL], MISSING),
            (1, ["train", "DATA", *USUAL, "--no-such-option"], "rank 1: No such option"),
            (1, ["train", "DATA", *USUAL, "--layers", "x"], "rank 1: "),
        ],
    )  # fmt: skip
    def test_a_rank_that_is_started_wrongly_ends_the_job_at_once(self, tmp_path, data, odd, mistake, told):
        wrong = [str(data) if word == "DATA" else word for word in mistake]
        usual = ("train", data, *USUAL, "--out", tmp_path / "run")
        began = time.monotonic()
        done = mpi_jobs.run(2, JOBS / "mistaken.py", odd, *wrong, "--", *usual, seconds=50)
        assert done.returncode not in (0, None)
        assert any(line.startswith(f"nnx: {told}") for line in ours(done.stderr)), done.stderr
        assert len(ours(done.stderr)) == 1
        assert time.monotonic() - began < 45  # and not the 60 s of --rank-timeout

    def test_a_mistake_of_all_ranks_is_reported_once(self, tmp_path):
        wrong = ["train", "missing.npz", *USUAL]
        done = mpi_jobs.run(2, "-m", "nnx", *wrong, cwd=tmp_path, seconds=50)
        assert done.returncode == 2
        assert len(ours(done.stderr)) == 1

    def test_a_rank_of_another_program_is_missed(self, tmp_path, data):
        usual = ("train", data, *USUAL, "--out", tmp_path / "run", "--rank-timeout", LIMIT)
        done = mpi_jobs.run(2, JOBS / "mistaken.py", 1, "--version", "--", *usual, seconds=50)
        assert done.returncode != 0
        assert re.match("nnx: rank 1 did not join .* 5 s .* rank 0: ", ours(done.stderr)[0])

    @pytest.mark.parametrize("command", [("train",), ("run", "autoencoder", "--dataset", "digits")])
    def test_a_finished_job_that_is_resumed_gives_its_result_again(self, tmp_path, data, command):
        given = [*command, *([data] if command == ("train",) else []), *USUAL, "--out", "run", "--json"]
        given += ["--checkpoint-every", "2", "--rank-timeout", "20"]
        first = mpi_jobs.run(2, "-m", "nnx", *given, cwd=tmp_path, seconds=100)
        assert first.returncode == 0, first.stderr
        began = time.monotonic()
        again = mpi_jobs.run(2, "-m", "nnx", *given, "--resume", cwd=tmp_path, seconds=100)
        assert again.returncode == 0, again.stderr
        assert again.stdout == first.stdout
        assert time.monotonic() - began < 20


def test_which_ranks_are_missing_is_said_only_where_it_can_be_seen(monkeypatch):
    for name in (*supervisor.SIZES, *supervisor.LOCAL_SIZES):
        monkeypatch.delenv(name, raising=False)
    assert supervisor._missing({0: 1}) == "not all ranks joined"
    monkeypatch.setenv("PMI_SIZE", "12")
    monkeypatch.setenv("MPI_LOCALNRANKS", "4")
    assert supervisor._missing({0: 1}) == "not all ranks joined"  # the others may be on another machine
    monkeypatch.setenv("MPI_LOCALNRANKS", "12")
    assert supervisor._missing(dict.fromkeys(range(11), 1)) == "rank 11 did not join"
    assert supervisor._missing({0: 1}) == "ranks 1, 2, 3, 4, 5, 6, 7, 8 and 3 more did not join"


# A launcher that starts two ranks. Rank 0 prints whom it takes for its job.
# With "hidden", no process above rank 0 can be read, as where root's srun starts the ranks.
LAUNCHER = """
import ctypes, os, subprocess, sys, time
from pathlib import Path
from nnx.distributed import supervisor

if sys.argv[1] == "launcher":
    ranks = [
        subprocess.Popen([sys.executable, __file__, rank, sys.argv[2]], env=os.environ | {"PMI_RANK": rank})
        for rank in "10"
    ]
    ranks[1].wait()
    ranks[0].kill()
elif sys.argv[1] == "1":
    ctypes.CDLL(None).prctl(15, b"nnx rank 1")
    time.sleep(60)
else:
    ctypes.CDLL(None).prctl(15, b"nnx rank 0")
    read = Path.read_bytes
    def guarded(self):
        if self.name == "environ" and self.parent.name != str(os.getpid()):
            raise PermissionError(13, "Permission denied")
        return read(self)
    if sys.argv[2] == "hidden":
        Path.read_bytes = guarded
    end = time.monotonic() + 20
    while len(came := supervisor._joined_ranks()) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    print(sorted(came))
"""
OTHER = (
    "import ctypes, time; ctypes.CDLL(None).prctl(15, b'nnx rank 2'); print(1, flush=True); time.sleep(50)"
)


@pytest.mark.parametrize("launcher", ["seen", "hidden"])
def test_a_process_of_another_job_is_not_taken_for_a_rank_of_this_one(tmp_path, launcher):
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    with subprocess.Popen([sys.executable, "-c", OTHER], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        done = subprocess.run(
            [sys.executable, tmp_path / "launcher.py", "launcher", launcher],
            capture_output=True, text=True, check=True, timeout=50,
        )  # fmt: skip
        other.kill()
    assert done.stdout == "[0, 1]\n"


def test_below_no_launcher_that_can_be_seen_nobody_is_of_this_job(monkeypatch):
    """As where the launcher has ended: every process of the machine lies below process 1."""
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE", raising=False)
    assert supervisor._launcher(7, {7: 1}) is None
    assert supervisor._launcher(7, {}) is None
    assert supervisor._missing({}) == "not all ranks joined"
