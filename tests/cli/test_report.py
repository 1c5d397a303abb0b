"""``nnx report`` writes a page for a folder of any name."""

from __future__ import annotations

from support.command_line import command
from support.report_runs import keep

from nnx.experiments import xor


def test_a_folder_whose_name_has_spaces_and_other_scripts_works(tmp_path):
    folder = tmp_path / "läufe and ラン" / "ünïcode run"
    keep(xor.run(xor.Config("deep", 3, device="cpu")), folder)
    done = command(tmp_path, "report", folder, PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    assert "ünïcode run" in (folder / "report.html").read_text(encoding="utf-8")
