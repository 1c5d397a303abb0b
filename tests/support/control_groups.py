"""Control groups: file systems that say what Linux would say of them, and a real group with a quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PERIOD = 100_000  # microseconds


def machine(folder, meminfo, groups, mounts, files):
    """A file system that says what a kernel would; `files` by their paths in it."""
    wanted = {"proc/meminfo": meminfo, "proc/self/cgroup": groups, "proc/self/mountinfo": mounts} | files
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith("\n") else f"{text}\n")
    return folder


MEMINFO = "MemTotal:   4000 kB\nMemAvailable:    1000 kB\nSwapFree:          24 kB\n"
TWO = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
ONE = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
)
IN_TWO, IN_ONE = "0::/user/job", "4:memory:/user/job\n1:cpu,cpuacct:/user/job\n0::/user"
WITHOUT_LIMIT = "9223372036854771712"
JOB = "sys/fs/cgroup/user/job"
JOB_IN_ONE = "sys/fs/cgroup/memory/user/job"


@contextmanager
def quota(processors: float) -> Iterator[Path]:
    """Make a control group that allows so much processor time; write a process's number into its file.

    Skip the test if this machine does not allow it.
    """
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    first = [m[4] for m in mounts if m[-3] == "cgroup" and "cpu" in m[-1].split(",")]
    second = [m[4] for m in mounts if m[-3] == "cgroup2"]
    places = [Path(place) for place in first] + [
        Path(place)
        for place in second
        if "cpu" in (Path(place) / "cgroup.subtree_control").read_text().split()
    ]
    if not places:
        pytest.skip("this system has no control groups with a quota of processor time")
    group = places[0] / f"nnx-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a control group: {error}")
    try:
        limit = int(processors * PERIOD)
        if str(places[0]) in first:
            (group / "cpu.cfs_period_us").write_text(f"{PERIOD}")
            (group / "cpu.cfs_quota_us").write_text(f"{limit}")
        else:
            (group / "cpu.max").write_text(f"{limit} {PERIOD}")
        yield group / "cgroup.procs"
    finally:
        group.rmdir()
