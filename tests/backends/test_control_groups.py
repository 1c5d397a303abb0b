"""The limits of Linux's control groups are read in both versions, from the innermost group to the topmost."""

from __future__ import annotations

import pytest
from support.control_groups import IN_ONE, IN_TWO, JOB, JOB_IN_ONE, MEMINFO, ONE, TWO, WITHOUT_LIMIT, machine

from nnx.backends import control_groups, host_memory


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        pytest.param("", "", {}, 2**20, id="no groups"),
        pytest.param(IN_TWO, TWO, {f"{JOB}/memory.max": "max"}, 2**20, id="v2, no limit"),
        pytest.param(IN_TWO, TWO, {f"{JOB}/memory.max": "8192"}, 8192 + 24 * 1024, id="v2, also swap"),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "8192", f"{JOB}/memory.swap.max": "0", f"{JOB}/memory.current": "5000"},
            3192, id="v2, no swap, what is used is taken off",
        ),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "8192", f"{JOB}/memory.current": "5000",
             f"{JOB}/memory.swap.max": "500", f"{JOB}/memory.swap.current": "200",
             f"{JOB}/memory.stat": "anon 4000\ninactive_file 600\nactive_file 40\nshmem 7"},
            3192 + 640 + 300, id="v2, some swap, pages of files can be had back",
        ),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "90000", f"{JOB}/memory.swap.max": "0",
             "sys/fs/cgroup/user/memory.max": "70000", "sys/fs/cgroup/user/memory.current": "65000",
             "sys/fs/cgroup/user/memory.swap.max": "0"},
            5000, id="v2, a group further up allows less",
        ),
        pytest.param(
            IN_TWO, TWO,
            {f"{JOB}/memory.max": "4096", f"{JOB}/memory.swap.max": "0", f"{JOB}/memory.current": "5000"},
            0, id="v2, above its limit",
        ),
        pytest.param(
            "0::/", TWO, {"sys/fs/cgroup/memory.max": "4096", "sys/fs/cgroup/memory.swap.max": "0"}, 4096,
            id="v2, a container that sees its own group as the top",
        ),
        pytest.param(
            IN_ONE, ONE, {f"{JOB_IN_ONE}/memory.limit_in_bytes": WITHOUT_LIMIT}, 2**20, id="v1, no limit"
        ),
        pytest.param(
            IN_ONE, ONE,
            {f"{JOB_IN_ONE}/memory.limit_in_bytes": "8192", f"{JOB_IN_ONE}/memory.usage_in_bytes": "5000",
             f"{JOB_IN_ONE}/memory.stat": "inactive_file 1\ntotal_inactive_file 600\ntotal_active_file 40"},
            3192 + 640 + 24 * 1024, id="v1, a limit without swap's",
        ),
        pytest.param(
            IN_ONE, ONE,
            {f"{JOB_IN_ONE}/memory.limit_in_bytes": "8192", f"{JOB_IN_ONE}/memory.usage_in_bytes": "5000",
             f"{JOB_IN_ONE}/memory.memsw.limit_in_bytes": "9000",
             f"{JOB_IN_ONE}/memory.memsw.usage_in_bytes": "5500"},
            3500, id="v1, a limit of both together",
        ),
        pytest.param(
            IN_ONE, ONE,
            {f"{JOB_IN_ONE}/memory.limit_in_bytes": WITHOUT_LIMIT,
             "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "7000"},
            7000, id="v1, the topmost group allows less",
        ),
        pytest.param(
            "4:memory:/docker/4f2",
            "33 31 0:30 /docker/4f2 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
             "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "5000"},
            5000, id="v1, a container whose group is mounted at the top",
        ),
        pytest.param(
            "4:memory:/../../other", "33 31 0:30 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            {"sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "5000"},
            5000, id="v1, a group that is not seen",
        ),
        pytest.param(
            "0::/a b", "31 23 0:28 / /sys/my\\040groups rw - cgroup2 cgroup2 rw",
            {"sys/my groups/a b/memory.max": "6000", "sys/my groups/a b/memory.swap.max": "0"}, 6000,
            id="names with spaces",
        ),
        pytest.param("not a line", "neither", {}, 2**20, id="what cannot be read is left out"),
    ],
)  # fmt: skip
def test_what_is_left_is_the_least_that_any_group_leaves(tmp_path, groups, mounts, files, expected):
    assert host_memory.free(machine(tmp_path, MEMINFO, groups, mounts, files)) == expected


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        (IN_TWO, TWO, {f"{JOB}/cpu.max": "150000 100000"}, 1.5),
        (IN_TWO, TWO, {f"{JOB}/cpu.max": "max 100000"}, None),
        (IN_TWO, TWO, {f"{JOB}/cpu.max": "max 100000", "sys/fs/cgroup/user/cpu.max": "50000 100000"}, 0.5),
        (
            IN_ONE, ONE,
            {"sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_quota_us": "200000",
             "sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_period_us": "100000"},
            2.0,
        ),
        (IN_ONE, ONE, {"sys/fs/cgroup/cpu,cpuacct/user/job/cpu.cfs_quota_us": "-1"}, None),
        ("", "", {}, None),
    ],
)  # fmt: skip
def test_the_quota_of_processors_is_read(tmp_path, groups, mounts, files, expected):
    assert control_groups.processors(machine(tmp_path, MEMINFO, groups, mounts, files)) == expected
