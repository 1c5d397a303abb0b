"""File systems that say what Linux would say of control groups."""

from __future__ import annotations


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
