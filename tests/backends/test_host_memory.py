"""What is left of the host's memory, and the text for a number of bytes."""

from __future__ import annotations

from support.control_groups import IN_TWO, JOB, TWO, machine

from nnx.backends import host_memory


def test_a_system_that_says_nothing_has_no_known_limit(tmp_path):
    assert host_memory.free(tmp_path) is None
    files = {f"{JOB}/memory.max": "6000", f"{JOB}/memory.swap.max": "0"}
    assert host_memory.free(machine(tmp_path, "nothing known", IN_TWO, TWO, files)) == 6000


def test_sizes_have_units():
    assert [host_memory.size(n) for n in (12, 2048, 3 * 2**20, 5 * 2**40)] == [
        "12 bytes", "2 KiB", "3 MiB", "5120.0 GiB",
    ]  # fmt: skip
