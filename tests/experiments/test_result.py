"""A result says what ran; its folder is complete or holds nothing half-written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.backends import resolve
from nnx.cli.console import print_json
from nnx.errors import FileFormatError, OutputError
from nnx.experiments import Result, RunFolder, xor
from nnx.experiments.result import Stopwatch, model_path, step_time


def test_a_result_says_what_ran(device):
    result = xor.run(xor.Config("deep", epochs=3, seed=7, dtype="float64"))
    stored = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert stored["result_version"] == 1
    assert set(stored) == {
        "result_version", "experiment", "preset", "dataset", "device", "backend", "dtype", "precision",
        "seed", "metrics", "timing", "artifacts", "versions", "environment", "config", "notes",
    }  # fmt: skip
    expected = {"experiment": "xor", "preset": "deep", "dataset": "xor", "device": device,
                "backend": resolve(device).name, "dtype": "float64",
                "precision": "float64", "seed": 7}  # fmt: skip
    assert stored | expected == stored
    assert stored["versions"] | {"nnx": nnx.__version__, "numpy": np.__version__} == stored["versions"]
    again = xor.run(xor.Config(**stored["config"]))
    assert again.metrics == result.metrics


@pytest.mark.usefixtures("device")
def test_the_stopwatch_counts_steps_and_takes_the_first_apart():
    x = np.zeros((8, 2), np.float32)
    stopwatch = Stopwatch()
    assert set(stopwatch.timing().values()) == {0}  # nothing has been trained
    network = nnx.Network([nnx.Dense(2, 1)])
    network.fit(x, x[:, :1], loss=nnx.MeanSquaredError(), optimizer=nnx.SGD(0.1), epochs=5, batch_size=4,
                callbacks=[stopwatch])  # fmt: skip
    timing = stopwatch.timing()
    assert timing["steps"] == 10
    assert 0 < timing["first_step_seconds"] < timing["train_seconds"]
    later = timing["train_seconds"] - timing["first_step_seconds"]
    assert timing["microseconds_per_step"] == pytest.approx(later / 9 * 1e6)


def result_of(network=None, history=None):
    return Result("xor", "deep", "xor", "cpu", "numpy", "float32", 0, network=network, history=history)


@pytest.mark.usefixtures("device")
def test_a_run_folder_is_complete_once_it_has_a_result(tmp_path):
    trained = xor.run(xor.Config("deep", epochs=3))
    folder = RunFolder.create(tmp_path / "a" / "b")
    assert list(folder.path.iterdir()) == []
    folder.write_training(trained)
    assert sorted(path.name for path in folder.path.iterdir()) == ["history.csv", "model.safetensors"]
    RunFolder.create(folder.path)  # not complete: may be taken again
    folder.write(trained)
    assert json.loads((folder.path / "result.json").read_text()) == trained.to_json()
    assert trained.artifacts == {
        "history": "history.csv", "model": "model.safetensors", "result": "result.json"}  # fmt: skip
    assert nnx.checkpoints.read_metadata(folder.path / "model.safetensors") == {
        "experiment": "xor", "preset": "deep", "dataset": "xor",
        "range": {"low": [0.0, 0.0], "high": [1.0, 1.0], "pixels": False}}  # fmt: skip
    with pytest.raises(OutputError, match="already holds a result: choose another --out"):
        RunFolder.create(folder.path)


@pytest.mark.usefixtures("device")
def test_a_result_without_network_or_history_leaves_only_itself(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    result = result_of()
    folder.write_training(result)
    folder.write(result)
    assert [path.name for path in folder.path.iterdir()] == ["result.json"]


@pytest.mark.usefixtures("device")
def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/run"):
        RunFolder.create(tmp_path / "file" / "run")


@pytest.mark.usefixtures("device")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="locked"):
        RunFolder.create(tmp_path / "locked")


@pytest.mark.usefixtures("device")
def test_a_result_that_cannot_be_written_leaves_no_half(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    broken = replace(result_of(), metrics={"loss": object()})
    with pytest.raises(TypeError):
        folder.write(broken)
    assert list(folder.path.iterdir()) == []


@pytest.mark.usefixtures("device")
def test_a_models_path_is_a_run_folder_or_a_file(tmp_path):
    with pytest.raises(FileFormatError, match=r"no model in .*\.safetensors"):
        model_path(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert (
        model_path(tmp_path) == model_path(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"
    )


def test_a_number_that_is_not_finite_is_null_in_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result("compare", "", "digits", "cpu", "numpy", "float64", 0)
    result.metrics = {"losses": [1.0, float("nan")], "nested": {"pair": (float("-inf"), 2)}}
    expected = {"losses": [1.0, None], "nested": {"pair": [None, 2]}}

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    RunFolder.create(tmp_path / "run").write(result)
    stored = json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=refuse)
    assert stored["metrics"] == expected
    print_json(result.metrics)
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == expected


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(9.62, "9.62 µs"), (17, "17 µs"), (999.4, "999 µs"), (999.6, "1 ms"), (1000, "1 ms"), (4590, "4.59 ms"),
     (15_600, "15.6 ms"), (999_700, "1 s"), (2.5e6, "2.5 s"), (0.0, "0 µs")],
)  # fmt: skip
def test_the_time_of_a_step_has_a_unit_that_fits(microseconds, text):
    assert step_time(microseconds) == text
