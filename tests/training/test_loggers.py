"""Loggers: other programs read the values during training and after it."""

from __future__ import annotations

import copy
import csv
import json
import math
import pickle
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from support.command_line import COMMAND, command, environment, without_note_on_a_busy_machine
from support.logged import fit
from support.places import TESTS

import nnx
from nnx.errors import ConfigurationError, MissingLibraryError, OutputError


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scalars(folder):
    """What TensorBoard itself reads, in a process of its own: where TensorFlow is installed it loads that."""
    code = (
        "import json, sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "found = EventAccumulator(sys.argv[1]).Reload()\n"
        "tags = found.Tags()['scalars']\n"
        "print(json.dumps({tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags}))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ----------------------------------------------------------------------------------- JSON lines


def test_json_lines_hold_what_the_history_holds(tmp_path):
    history = fit(nnx.JSONLog(tmp_path / "run.jsonl"), validation=0.25, metrics=["mse"])
    found = lines(tmp_path / "run.jsonl")
    assert [(line.pop("training"), line.pop("epoch")) for line in found] == [(1, 1), (1, 2), (1, 3)]
    assert {name: [line[name] for line in found] for name in found[0]} == history.metrics


def test_each_line_is_there_as_soon_as_its_epoch_has_ended(tmp_path):
    seen = []

    class Look(nnx.Callback):
        def on_epoch_end(self, run):
            seen.append(len(lines(tmp_path / "run.jsonl")))

    fit(nnx.JSONLog(tmp_path / "run.jsonl"), Look(), epochs=5)
    assert seen == [1, 2, 3, 4, 5]


def test_a_second_fit_appends_to_the_file_and_a_new_callback_overwrites_it(tmp_path):
    log = nnx.JSONLog(tmp_path / "run.jsonl")
    fit(log, epochs=2)
    fit(log, epochs=1)
    assert [(line["training"], line["epoch"]) for line in lines(log.path)] == [(1, 1), (1, 2), (2, 1)]
    fit(nnx.JSONLog(log.path), epochs=1)
    assert [(line["training"], line["epoch"]) for line in lines(log.path)] == [(1, 1)]


def test_epochs_that_are_trained_again_are_recorded_again(tmp_path):
    class Fails(nnx.Callback):
        at = 22  # of three steps an epoch: in the eighth

        def on_step_end(self, run):
            if run.step == self.at:
                self.at = 0
                raise nnx.TrainingError("the loss is nan")

    kept = nnx.Checkpoint(tmp_path / "kept", every=12)
    callbacks = nnx.JSONLog(tmp_path / "run.jsonl"), Fails()
    history = fit(*callbacks, checkpoint=kept, epochs=9, on_nonfinite="rollback")
    assert history.rollbacks == 1
    found = lines(tmp_path / "run.jsonl")
    assert [line["epoch"] for line in found] == [1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9]
    assert list({line["epoch"]: line["loss"] for line in found}.values()) == history["loss"]


def test_a_value_that_is_not_finite_is_null(tmp_path):
    fit(nnx.JSONLog(tmp_path / "a.jsonl"), epochs=1, validation=0.25, metrics=[not_finite])
    assert lines(tmp_path / "a.jsonl")[0]["val_not_finite"] is None


def not_finite(y_true, y_pred):
    return math.inf


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        fit(nnx.JSONLog(tmp_path / "folder"))
    with pytest.raises(OutputError, match=r"run\.jsonl"):
        fit(nnx.JSONLog(tmp_path / "run.jsonl"), Full(tmp_path / "run.jsonl"))


class Full(nnx.Callback):
    """Puts a full disk in the place of a log that is open."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, run):
        log = run.callbacks[0]
        log._file.close()
        log._file = open("/dev/full", "w")  # noqa: PTH123, SIM115


def test_only_the_first_of_several_processes_tells():
    assert not any(log.every_rank for log in (nnx.JSONLog, nnx.TensorBoardLog, nnx.MLflowLog))


def test_a_training_that_fails_leaves_what_was_told_and_closes_the_file(tmp_path):
    class Fail(nnx.Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                raise ConfigurationError("enough")

    log = nnx.JSONLog(tmp_path / "run.jsonl")
    with pytest.raises(ConfigurationError, match="enough"):
        fit(log, Fail(), epochs=9)
    assert len(lines(log.path)) == 2
    assert log._file is None


# ----------------------------------------------------------------------- TensorBoard and MLflow


def test_tensorboard_reads_every_value(tmp_path):
    log = nnx.TensorBoardLog(tmp_path / "board")
    assert not (tmp_path / "board").exists()  # before training nothing is written
    history = fit(log, validation=0.25)
    fit(log, epochs=1)
    found = scalars(tmp_path / "board")
    assert set(found) == {"loss", "val_loss", "training_2/loss"}
    for name, values in history.metrics.items():
        steps, read = zip(*found[name], strict=True)
        assert steps == (1, 2, 3)
        np.testing.assert_allclose(read, values, rtol=1e-6)


def test_long_trainings_are_told_of_at_most_a_thousand_times(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(nnx.TensorBoardLog, "write", lambda self, rows: written.append(rows))
    fit(nnx.TensorBoardLog(tmp_path / "board"), epochs=2500)
    assert len(written) <= 1250
    assert [epoch for rows in written for epoch, _ in rows] == list(range(1, 2501))


def test_mlflow_reads_parameters_values_and_how_it_ended(tmp_path):
    """In a process of its own: MLflow keeps its settings, and warns of its own libraries."""
    code = f"""
import json, sys
sys.path.insert(0, {str(tmp_path)!r})
import nnx
from support import logged
history = logged.fit(nnx.MLflowLog("mine", parameters={{"preset": "deep"}}), validation=0.25)
try:
    logged.fit(nnx.MLflowLog("fails"), logged.Failing())
except nnx.ConfigurationError:
    pass
import mlflow
client = mlflow.MlflowClient()
owner = client.get_experiment_by_name("nnx")
found = {{}}
for run in client.search_runs([owner.experiment_id]):
    points = client.get_metric_history(run.info.run_id, "loss")
    found[run.info.run_name] = [run.info.status, run.data.params, [(p.step, p.value) for p in points]]
print(json.dumps([found, history.metrics]))
"""
    paths = [str(TESTS), environment(tmp_path)["PYTHONPATH"]]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env=environment(tmp_path, PYTHONPATH=":".join(paths)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, metrics = json.loads(done.stdout)
    status, parameters, points = found["mine"]
    assert status == "FINISHED"
    assert parameters == {"optimizer": "Adam", "epochs": "3", "network_parameters": "25", "preset": "deep"}
    assert points == [[epoch, value] for epoch, value in zip((1, 2, 3), metrics["loss"], strict=True)]
    assert found["fails"][0] == "FAILED"
    assert (tmp_path / "mlflow.db").is_file()


@pytest.mark.parametrize(
    ("module", "make", "remedy"),
    [("tensorboardX", lambda: nnx.TensorBoardLog("x"), "pip install tensorboardX"),
     ("mlflow", nnx.MLflowLog, "pip install mlflow-skinny")],
)  # fmt: skip
def test_a_missing_library_is_one_line_with_the_command_that_mends_it(monkeypatch, module, make, remedy):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingLibraryError, match=remedy) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_loggers_are_copied_and_pickled(tmp_path):
    pytest.importorskip("tensorboardX")
    pytest.importorskip("mlflow")
    board = nnx.TensorBoardLog(tmp_path / "board")
    fit(board)
    for log, trainings in ((board, 1), (nnx.MLflowLog("x"), 0)):
        for twin in (copy.deepcopy(log), pickle.loads(pickle.dumps(log))):
            assert twin.training == trainings
    fit(copy.deepcopy(board))
    assert len(list((tmp_path / "board").iterdir())) == 2


def constant(y_true, y_pred):
    return 0.5


def test_names_that_tensorboard_shows_as_one_are_refused_before_training(tmp_path):
    pytest.importorskip("tensorboardX")
    with pytest.raises(ConfigurationError, match=r"TensorBoard.*'val_a<b'.*'val_a_b'"):
        fit(
            nnx.TensorBoardLog(tmp_path / "board"),
            validation=0.25,
            metrics={"a<b": constant, "a>b": constant},
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["<lambda>", "a//b", "f(x)"])
def test_names_that_mlflow_refuses_are_refused_before_training(name, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=re.escape(f"val_{name}")):
        fit(nnx.MLflowLog(), validation=0.25, metrics={name: constant})
    assert not list(tmp_path.iterdir())


def test_mlflow_s_refusal_is_one_line(monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    with pytest.raises(OutputError, match="nonsense://nowhere") as caught:
        fit(nnx.MLflowLog())
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------ the command line


def test_a_run_writes_the_logs_it_was_asked_for_and_prints_one_object(tmp_path):
    line = "run autoencoder --dataset digits --preset shallow --epochs 3 --json -q --out run"
    done = command(tmp_path, *line.split(), "--log", "jsonl", "--log", "tensorboard", "--log", "jsonl")
    assert (done.returncode, without_note_on_a_busy_machine(done.stderr)) == (0, "")
    result = json.loads(done.stdout)
    assert result["artifacts"]["jsonl"] == "history.jsonl"
    assert result["artifacts"]["tensorboard"] == "tensorboard"
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == [
        {name: value for name, value in line.items() if name != "training"}
        for line in lines(tmp_path / "run" / "history.jsonl")
    ]
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


def test_another_process_can_follow_a_run(tmp_path):
    line = "run xor --epochs 200000 --log jsonl -q --out run"
    run = subprocess.Popen(
        [*COMMAND, *line.split()], cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE
    )
    path, deadline = tmp_path / "run" / "history.jsonl", time.monotonic() + 90
    try:
        while run.poll() is None and time.monotonic() < deadline:
            if path.exists() and path.stat().st_size > 1000:
                break
            time.sleep(0.05)
        assert run.poll() is None, run.stderr.read()
        first = json.loads(path.read_text(encoding="utf-8").split("\n", 1)[0])
        assert (first["training"], first["epoch"]) == (1, 1)
    finally:
        run.kill()
        run.communicate()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [("run xor --log tensorbord", "did you mean 'tensorboard'"), ("run compare --log jsonl", "--log"),
     ("run svm --model taken --log jsonl", "--log is for training")],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path, arguments, text):
    (tmp_path / "taken").write_text("")
    done = command(tmp_path, *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_library_ends_a_run_before_anything_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mlflow.py").write_text("raise ImportError('not here')")
    paths = [str(tmp_path / "elsewhere"), environment(tmp_path)["PYTHONPATH"]]
    done = command(tmp_path, "run", "xor", "--log", "mlflow", "--out", "run", PYTHONPATH=":".join(paths))
    assert done.returncode == 1
    assert done.stderr == (
        "nnx: MLflowLog needs mlflow (not here): pip install mlflow-skinny sqlalchemy alembic\n"
    )
    assert not (tmp_path / "run").exists()
