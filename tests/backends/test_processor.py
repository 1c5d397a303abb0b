"""The processor's vendor and instruction sets, from Linux's list."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx.backends import processor

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu vme avx512f avx512_bf16 amx_bf16 amx_tile
vmx flags\t: vnmi preemption_timer

processor\t: 1
vendor_id\t: GenuineIntel
flags\t\t: fpu
"""


def test_the_first_processor_tells(tmp_path):
    (tmp_path / "cpuinfo").write_text(XEON)
    assert processor.vendor(tmp_path / "cpuinfo") == "GenuineIntel"
    found = processor.instructions(tmp_path / "cpuinfo")
    assert found == {"fpu", "vme", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"}


def test_a_system_that_does_not_tell_has_neither(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")  # Arm
    for path in (tmp_path / "cpuinfo", tmp_path / "missing"):
        assert (processor.vendor(path), processor.instructions(path)) == ("", frozenset())


def test_it_reads_this_machine():
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("no /proc/cpuinfo on this system")
    assert processor.vendor() == processor.vendor(Path("/proc/cpuinfo"))
