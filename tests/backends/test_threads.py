"""How many threads compute, who sets the number, and the warning on a busy machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import nnx
from nnx.backends import threads
from nnx.cli.main import cli
from nnx.training import contention

X = np.random.default_rng(0).random((64, 8), dtype=np.float32)


@pytest.fixture
def unset(monkeypatch):
    """Nobody set a number of threads."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def fit(callbacks=(), device="numpy"):
    network = nnx.Network([nnx.Dense(8, 4), nnx.Tanh(), nnx.Dense(8)], seed=0, device=device)
    network.fit(
        X, X, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(), batch_size=16, callbacks=list(callbacks)
    )


class Seen(nnx.Callback):
    def on_step_end(self, run):
        self.threads = blas_threads()


def python(code: str, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES}
    path = os.pathsep.join([str(Path(nnx.__file__).parents[1]), kept.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | {"PYTHONPATH": path} | variables, text=True, timeout=100,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


class TestTheNumberOfThreads:
    @pytest.mark.parametrize(
        ("quota", "expected"), [("max", 8), ("150000", 1), ("250000", 2), ("1600000", 8), ("5000", 1)]
    )
    def test_follows_affinity_and_quota(self, tmp_path, monkeypatch, quota, expected):
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
        (tmp_path / "proc/self/mountinfo").write_text("31 23 0:28 / /groups rw - cgroup2 cgroup2 rw\n")
        (tmp_path / "groups/job").mkdir(parents=True)
        (tmp_path / "groups/job/cpu.max").write_text(f"{quota} 100000\n")
        assert threads.cores(tmp_path) == expected

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
    def test_follows_the_affinity_of_the_process(self):
        code = (
            "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
            "from nnx.backends import threads\nprint(threads.cores())\n"
        )
        assert python(code) == "1\n"

    @pytest.mark.usefixtures("unset")
    def test_a_quota_holds_for_numpys_blas_while_training_and_no_longer(self, monkeypatch):
        before, seen = blas_threads(), Seen()
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        monkeypatch.setattr(threads, "cores", lambda: 1)
        fit([seen])
        assert set(seen.threads) == {1}
        assert blas_threads() == before

    def test_a_number_of_the_users_is_left_alone(self, monkeypatch):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
        before, seen = blas_threads(), Seen()
        monkeypatch.setattr(threads, "affinity", lambda: 8)
        monkeypatch.setattr(threads, "cores", lambda: 1)
        fit([seen])
        assert seen.threads == before

    @pytest.mark.parametrize(
        ("variables", "expected"),
        [({}, "1"), ({"NUMBA_NUM_THREADS": "2"}, "2"), ({"NUMBA_NUM_THREADS": "1"}, "1")],
    )
    def test_a_quota_holds_for_the_compiled_kernels(self, variables, expected):
        pytest.importorskip("numba")
        code = (
            "from nnx.backends import resolve, threads\nthreads.cores = lambda: 1\n"
            "backend = resolve('numba')\n"
            "print(backend.threads, backend.blas is None, backend.blas_threads())\n"
        )
        if variables.get("NUMBA_NUM_THREADS") == "2" and threads.affinity() < 2:
            pytest.skip("a single core")
        told = python(code, **variables)
        if "True" in told:
            pytest.skip("no private BLAS here")
        assert told == f"{expected} False 0\n"


def runs():
    """Every command that trains."""
    group = cli.commands["run"]
    found = {f"run {name}": group.get_command(None, name) for name in group.list_commands(None)}
    return found | {"train": cli.commands["train"]}


class TestTheOption:
    @pytest.mark.parametrize("name", runs())
    def test_is_of_every_run(self, name):
        command = runs()[name]
        assert isinstance(command, click.Command)
        assert sum("--threads" in parameter.opts for parameter in command.params) == 1

    @pytest.mark.parametrize("device", ["numpy", "cpu"])
    @pytest.mark.parametrize("count", [1, 2])
    def test_sets_the_number_and_the_result_names_it(self, tmp_path, device, count):
        if count > threads.affinity():
            pytest.skip("a single core")
        code = (
            "from nnx.cli.main import main\n"
            f"main(['run', 'xor', '--epochs', '2', '-q', '--json', '--device', {device!r},\n"
            f"      '--out', {str(tmp_path / 'run')!r}, '--threads', '{count}'])\n"
        )
        assert json.loads(python(code))["environment"]["threads"] == count

    def test_a_number_that_makes_no_sense_is_refused(self):
        with pytest.raises(click.UsageError, match="must be a whole number of at least 1"):
            cli.main(["run", "xor", "--threads", "0"], standalone_mode=False)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What Linux says of this process's threads: seconds in which they ran, and waited."""
    monkeypatch.setattr(contention, "TASKS", tmp_path)
    monkeypatch.setattr(contention.Contention, "reported", False)
    monkeypatch.setattr(contention, "BEGIN", 0.0)
    monkeypatch.setattr(contention, "WINDOW", 0.0)

    def say(*tasks):
        for number, (ran, waited) in enumerate(tasks):
            (tmp_path / str(number)).mkdir(exist_ok=True)
            (tmp_path / str(number) / "schedstat").write_text(f"{int(ran * 1e9)} {int(waited * 1e9)} 7\n")

    return say


class TestABusyMachine:
    def watch(self, machine, before, after, blas=2):
        backend = nnx.backends.resolve("numpy")
        watch = contention.Contention(backend)
        backend.blas_threads = lambda: blas
        try:
            for tasks in (before, after, after):
                machine(*tasks)
                if time.monotonic() >= watch.due:
                    watch.look()
        finally:
            del backend.blas_threads
        return watch

    def test_is_reported_once_with_advice(self, machine, caplog):
        self.watch(machine, [(1, 9), (1, 0)], [(2, 11), (2, 4)])
        self.watch(machine, [(1, 9), (1, 0)], [(2, 11), (2, 4)])
        assert caplog.messages == [
            "other programs use the processors: nnx waits 75% of the time; stop with Ctrl-C and start again "
            "with --threads 1 (in Python: OPENBLAS_NUM_THREADS=1): it is often several times faster"
        ]

    def test_one_thread_can_only_wait(self, machine, caplog):
        self.watch(machine, [(1, 0)], [(2, 4)], blas=1)
        assert caplog.messages == [
            "other programs use the processors: nnx waits 80% of the time, and training takes "
            "that much longer"
        ]

    @pytest.mark.parametrize("after", [[(5, 9)], [(2, 0.9)], [(1, 0)]])
    def test_an_idle_one_is_not(self, machine, caplog, after):
        self.watch(machine, [(1, 0)], after if after != [(5, 9)] else [(12, 9)])
        assert caplog.messages == []

    def test_nothing_is_said_where_linux_does_not_say(self, machine, caplog):
        self.watch(machine, [], [])
        fit()
        assert caplog.messages == []

    def test_a_short_training_is_not_looked_at(self, monkeypatch, tmp_path):
        monkeypatch.setattr(contention, "TASKS", tmp_path / "absent")
        monkeypatch.setattr(contention, "_ran_and_waited", lambda: pytest.fail("looked"))
        fit()

    @pytest.mark.skipif(
        not Path("/proc/self/schedstat").exists(), reason="Linux says nothing of waiting here"
    )
    def test_it_is_noticed_on_a_real_one(self):
        """A core that other programs keep busy: a training that shares it is reported while it runs."""
        code = (
            "import os, subprocess, sys, numpy as np, nnx\n"
            "from nnx.training import contention\n"
            "contention.WINDOW = 1.0\n"
            "core = {min(os.sched_getaffinity(0))}\n"
            "os.sched_setaffinity(0, core)\n"
            "for task in os.listdir('/proc/self/task'):\n    os.sched_setaffinity(int(task), core)\n"
            "busy = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(3)]\n"
            "class UntilReported(nnx.callbacks.Callback):\n"
            "    def on_epoch_end(self, run):\n"
            "        run.stop = 'reported' if contention.Contention.reported else ''\n"
            "try:\n"
            "    network = nnx.Network([nnx.Dense(64, 64)], seed=0, device='numpy')\n"
            "    x = np.ones((4096, 64), 'f4')\n"
            "    network.fit(x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(1e-4), batch_size=64,\n"
            "                epochs=10**6, callbacks=[UntilReported()])\n"
            "finally:\n    [process.kill() for process in busy]\n"
        )
        told = python(code, OPENBLAS_NUM_THREADS="2")
        assert told.startswith("other programs use the processors: nnx waits ")
        assert told.count("\n") == 1
