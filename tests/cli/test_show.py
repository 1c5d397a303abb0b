"""Results are printed as tables, with where and how long they were computed, and where their files are."""

from __future__ import annotations

from pathlib import Path

from nnx.cli import show
from nnx.experiments import xor

TIMING = {"steps": 1500, "train_seconds": 0.75, "microseconds_per_step": 500.0, "total_seconds": 1.25}


def trained(**timing):
    result = xor.run(xor.Config("deep", 2, seed=4, device="numpy"))
    result.timing = TIMING | timing
    return result


def test_a_result_ends_with_its_device_its_time_and_its_files(capsys):
    show.result(trained(), Path("runs/x"))
    *_, facts, report, folder = capsys.readouterr().out.splitlines()
    assert facts == "cpu (numpy, float32), seed 4; 1,500 steps in 0.75 s (500 µs each); 1.2 s total"
    assert report == f"the report is {Path('runs/x/report.html')}"
    assert folder == f"everything is in {Path('runs/x')}"


def test_a_run_that_trained_nothing_has_no_time_of_a_step(capsys):
    show.result(trained(steps=0), Path("runs/x"))
    assert "cpu (numpy, float32), seed 4; 1.2 s total\n" in capsys.readouterr().out


def test_a_summary_has_a_row_and_a_report_for_each_experiment(capsys):
    result = trained()
    result.metrics = {"loss": 0.123456789, "accuracy": 1.0, "loss_log": [[0, 1.0]], "rows": 4}
    show.summary([result, result], Path("all"))
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith(" xor ")]
    assert len(rows) == 2
    assert "loss 0.12346, accuracy 1 " in rows[0]  # numbers with decimals alone
    assert "rows" not in rows[0]
    assert lines.count(f"the report of xor is {Path('all/xor/report.html')}") == 2
    assert lines[-1] == "everything is in all"
