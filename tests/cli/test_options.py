"""Options mean the same in every command; a wrong value is answered with the nearest."""

from __future__ import annotations

import pytest
from support.command_line import command


@pytest.mark.parametrize("line", ["--debug run xor --device tpu", "run xor --device tpu --debug"])
def test_debug_shows_the_traceback_in_any_position(tmp_path, line):
    done = command(tmp_path, *line.split())
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("nnx: unknown device 'tpu'")


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("report runs/bset", "did you mean 'runs/best'?"),
        ("run svm --model runs/bestt", "did you mean 'runs/best'?"),
        ("predict runs/best dat.csv --out x.csv", "did you mean 'data.csv'?"),
        ("train data.cvs", "did you mean 'data.csv'?"),
        ("export runs/bes --out x.onnx", "did you mean 'runs/best'?"),
        ("reprot runs/best", "'report'"),
        ("run xor --prest deep", "'--preset'"),
        ("run xor --log json", "did you mean 'jsonl'?"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(tmp_path, answer, line, near):
    (tmp_path / "runs" / "best").mkdir(parents=True)
    (tmp_path / "data.csv").write_text("1,2\n", encoding="utf-8")
    done = answer(*line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert near in done.stderr.replace("\\", "/")
    assert len(done.stderr.splitlines()) == 1
