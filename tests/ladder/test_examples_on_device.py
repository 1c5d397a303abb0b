"""Examples for data on a GPU, on the stand-in: what they copy to the host."""

from __future__ import annotations

import importlib.util

import pytest
from support.places import ROOT

pytestmark = pytest.mark.standin
cupy = pytest.importorskip("cupy", reason="needs CuPy's wheel: nox -s ladder")
ROWS = 1500


def test_data_on_a_gpu_stay_there_but_for_the_numbers_that_are_printed(capsys, monkeypatch):
    monkeypatch.setenv("NNX_DEVICE", "gpu")
    spec = importlib.util.spec_from_file_location("data_on_a_gpu", ROOT / "examples" / "data_on_a_gpu.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with cupy.recorded() as log:
        example.main(ROWS)
    printed = capsys.readouterr().out
    assert printed.startswith(f"cupy on gpu:0: {ROWS} rows, test accuracy 0.")
    trained = ROWS * 4 // 5
    # up: the table at first; in each of ten epochs the order of the rows, and what else changes from step to
    # step; less are the initial weights
    up = [event.size for event in log if event.kind == "h2d" and event.size >= 4 * ROWS]
    assert up[:5] == [4 * ROWS] * 4 + [8 * ROWS]
    assert len(up) == 15
    assert all(8 * trained <= size < 8 * trained + 4096 for size in up[5:])
    # down: the checks, losses and flags of the training, and what is printed
    assert max(event.size for event in log if event.kind == "d2h") <= 64
