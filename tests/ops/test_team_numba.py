"""A team computes each segment of a launch once, with any number of threads, and on a busy machine too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.busy import busy
from support.places import with_helpers

pytest.importorskip("numba", reason="Numba is not installed: pip install 'nnx-arrays[fast]'")

import numba

from nnx.ops import team_numba
from nnx.ops.share_numba import share

pytestmark = pytest.mark.skipif(not team_numba.AVAILABLE, reason="this team is for Linux on x86")


@numba.njit(nogil=True)
def mark(rows, sums):
    for index in range(rows.size):
        rows[index] += 1
        sums[0] += rows[index] * 0.1


@numba.njit(nogil=True)
def marked(rows, sums, segments):
    share(mark, (rows, sums), (), segments)


def launches(count, segments, rows=97):
    """The sums of the segments after so many launches; each row must have been counted in every one."""
    counts, sums = np.zeros(rows), np.zeros(segments)
    for _ in range(count):
        marked(counts, sums, segments)
    assert set(counts.tolist()) == {count}
    return sums.tobytes()


@pytest.mark.parametrize("segments", [2, 3, 4, 8, 97])
def test_each_segment_is_computed_once(segments):
    team_numba.start(1)
    first = launches(2000, segments)
    team_numba.start(4)
    assert launches(2000, segments) == first


def test_each_segment_is_computed_once_next_to_busy_processes():
    team_numba.start(4)
    quiet = launches(1000, 6)
    with busy(4):
        assert launches(1000, 6) == quiet


def test_launches_of_several_python_threads_do_not_disturb_each_other():
    team_numba.start(3)
    expected, found = launches(1000, 4), []
    threads = [threading.Thread(target=lambda: found.append(launches(1000, 4))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_more_segments_than_fit_into_a_ticket_are_computed_by_the_caller():
    counts, sums = np.zeros(2**15 + 3), np.zeros(2**15 + 3)
    marked(counts, sums, counts.size)
    assert set(counts.tolist()) == {1}


def test_an_idle_team_sleeps():
    team_numba.start(3)
    launches(10, 3)
    deadline = time.monotonic() + 60
    while team_numba._words[team_numba.ASLEEP] < len(team_numba._threads):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    launches(10, 3)  # they are woken


def test_a_thread_that_the_system_refuses_is_not_missed(monkeypatch):
    before = len(team_numba._threads)
    monkeypatch.setattr(team_numba, "_libc", type("Full", (), {"pthread_create": lambda *_: 11}))
    team_numba.start(before + 5)
    assert len(team_numba._threads) == before
    launches(100, before + 5)


def test_an_ended_team_computes_and_can_start_again():
    code = (
        "from ops import test_team_numba as here\nfrom nnx.ops import team_numba as team\n"
        "team.start(3)\nfirst = here.launches(100, 3)\nteam.end()\nassert not team._threads\n"
        "assert here.launches(100, 3) == first\nteam.start(3)\nassert here.launches(100, 3) == first\n"
    )
    subprocess.run([sys.executable, "-c", code], env=with_helpers(), check=True, timeout=100)


def test_a_forked_process_has_a_team_too():
    code = (
        "import os\nfrom ops import test_team_numba as here\nfrom nnx.ops import team_numba as team\n"
        "team.start(3)\nfirst = here.launches(100, 3)\nchild = os.fork()\n"
        "assert len(team._threads) == 2\nassert here.launches(1000, 3) != first\n"
        "here.test_an_idle_team_sleeps()\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=with_helpers(), check=True, timeout=100)


def test_signals_are_left_to_python():
    team_numba.start(3)
    blocked = {}
    for task in Path("/proc/self/task").iterdir():
        lines = (task / "status").read_text(encoding="ascii").splitlines()
        blocked[int(task.name)] = next(int(line.split()[1], 16) for line in lines if "SigBlk" in line)
    interrupt = 1 << (signal.SIGINT - 1)
    assert not blocked[os.getpid()] & interrupt
    assert sum(bool(mask & interrupt) for mask in blocked.values()) >= len(team_numba._threads)
