"""Waiting for processors that other programs use is reported once, with advice."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.threads import fit, python

import nnx
from nnx.training import contention


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What Linux says of this process's threads: seconds in which they ran, and waited."""
    monkeypatch.setattr(contention, "TASKS", tmp_path)
    monkeypatch.setattr(contention.Contention, "reported", False)
    monkeypatch.setattr(contention, "BEGIN", 0.0)

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
                if watch.due < math.inf:  # as if it were time
                    watch.look()
        finally:
            del backend.blas_threads
        return watch

    def test_is_reported_once_with_advice(self, machine, caplog):
        self.watch(machine, [(1, 9), (1, 0)], [(2, 11), (2, 4)])
        self.watch(machine, [(1, 9), (1, 0)], [(2, 11), (2, 4)])
        assert caplog.messages == [
            "other programs use the processors: nnx waits 75% of the time, and NumPy's threads wait "
            "for each other; stop with Ctrl-C and start again with --threads 1 (in Python: "
            "OPENBLAS_NUM_THREADS=1): it can be ten times as fast"
        ]

    def test_one_thread_can_only_wait(self, machine, caplog):
        self.watch(machine, [(1, 0)], [(2, 4)], blas=1)
        assert caplog.messages == [
            "other programs use the processors: nnx waits 80% of the time, and training takes "
            "that much longer"
        ]

    @pytest.mark.parametrize(("after", "blas"), [((12, 9), 1), ((2, 0.9), 1), ((2, 0.3), 2), ((1, 0), 2)])
    def test_an_idle_one_is_not(self, machine, caplog, after, blas):
        self.watch(machine, [(1, 0)], [after], blas)
        assert caplog.messages == []

    def test_threads_of_a_blas_need_not_wait_as_long_as_they_wait_for_each_other(self, machine, caplog):
        self.watch(machine, [(1, 0)], [(2, 0.6)])
        assert caplog.messages[0].startswith("other programs use the processors: nnx waits 37% of the time, ")

    def test_the_second_half_of_the_time_until_now_is_measured(self, machine, monkeypatch, caplog):
        """After a long training, a moment in which the machine is busy is not reported."""
        clock, seconds = [0.0], []
        monkeypatch.setattr(contention, "BEGIN", 0.5)
        monkeypatch.setattr(contention, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        watch = contention.Contention(nnx.backends.resolve("numpy"))
        waited = 0.0
        while clock[0] < 40:
            clock[0] += 0.25
            waited += 0.5 * (10 <= clock[0] < 12 or clock[0] >= 16)
            machine((clock[0], waited))
            if clock[0] >= watch.due:
                watch.look()
                seconds.append((clock[0], len(caplog.messages)))
        assert seconds == [(0.5, 0), (1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (32, 1)]

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
