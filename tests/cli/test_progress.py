"""What a run prints: its progress, its time, its backend, and the path of its report."""

from __future__ import annotations

import json
import os
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from support.command_line import command

from nnx.backends import resolve
from nnx.cli import backend_change, progress
from nnx.cli.console import _aligned
from nnx.experiments import Result, RunFolder
from nnx.experiments.result import step_time
from nnx.experiments.stages import shown_by, stage


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (36610, "10:10:10")],
)
def test_a_time_reads_as_on_a_clock(seconds, text):
    assert progress.clock(seconds) == text


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(9.62, "9.62 µs"), (17, "17 µs"), (999.4, "999 µs"), (999.6, "1 ms"), (1000, "1 ms"), (4590, "4.59 ms"),
     (15_600, "15.6 ms"), (999_700, "1 s"), (2.5e6, "2.5 s"), (0.0, "0 µs")],
)  # fmt: skip
def test_the_time_of_a_step_has_a_unit_that_fits(microseconds, text):
    assert step_time(microseconds) == text


def test_decimal_points_are_below_each_other():
    padded = _aligned("nnx", ["0.004430", "3.4754", "16,000", "64 / 21", "", "-1.5"])
    assert len(set(map(len, padded))) == 1
    places = {text.index(".") for text in padded if "." in text}
    assert len(places) == 1
    assert len(padded[3].rstrip()) == places.pop()  # 16,000 ends where the others have their point
    assert padded[4].endswith("64 / 21")


def running(**facts):
    return SimpleNamespace(**{"epochs": 4, "batches": 10, "epoch": 0, "batch": 0, "step": 0} | facts)


def test_the_time_that_is_left_is_told_from_the_first_step_on(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    run = running()
    work = progress.Training(run)
    assert work.line() == "epoch 1/4  elapsed 0:00"
    now[0], run.step, run.batch = 103.0, 1, 1  # the first step compiles: 3 s
    assert work.line("loss 1") == "epoch 1/4  elapsed 0:03  remaining 1:57  step 1/10"
    now[0], run.step, run.batch = 112.0, 10, 10  # the others take one
    assert work.times() == ("elapsed 0:12", "remaining 0:30")
    run.epoch, run.batch = 1, 0
    assert work.line("loss 1") == "epoch 1/4  elapsed 0:12  remaining 0:30  loss 1"
    now[0], run.step, run.batch = 132.0, 30, 10
    run.epoch = 2
    assert work.label() == "epoch 3/4"
    assert work.times() == ("elapsed 0:32", "remaining 0:10")
    assert work.share() == 0.75


def test_a_resumed_run_counts_its_own_steps_alone(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    run = running(step=20, epoch=2)
    work = progress.Training(run)
    assert work.remaining() is None
    now[0], run.step = 2.0, 21
    assert work.remaining() == 2.0 * 19
    run.step = 15  # back to a checkpoint
    assert work.remaining() is None


def test_a_log_has_a_line_where_nothing_was_said_for_a_while(monkeypatch, capsys):
    monkeypatch.setattr(progress.Stage, "first", 0.1)
    monkeypatch.setattr(progress, "GAP", 60.0)
    said, deadline = "", time.monotonic() + 20.0
    with shown_by(progress.stage), stage("fitting PCA"), stage("nothing of this is shown"):
        while not said and time.monotonic() < deadline:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert re.fullmatch(r"fitting PCA  elapsed 0:\d\d\n", said + capsys.readouterr().err)
    with stage("nobody listens"):
        pass
    assert capsys.readouterr().err == ""


def test_a_stage_of_a_known_length_says_what_is_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    work = progress.Stage("fitting the SVMs", 40.0)
    now[0] = 10.0
    assert (work.line(), work.share()) == ("fitting the SVMs  elapsed 0:10  remaining 0:30", 0.25)
    now[0] = 50.0
    assert (work.line(), work.share()) == ("fitting the SVMs  elapsed 0:50", None)


# ------------------------------------------------------------------- a run in a process of its own


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training that early stopping ends; a browser that notes what it is given opens its report."""
    place = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(0)
    np.savez(place / "noise.npz", x=rng.normal(size=(90, 4)), y=rng.integers(0, 2, 90))
    browser = place / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {place}/opened\n')
    browser.chmod(0o755)
    done = command(
        place, "train", "noise.npz", "--epochs", 400, "--patience", 3, "--learning-rate", 0.01,
        "--out", "run", "--open", BROWSER=f"{browser} %s",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return place, done


def test_early_stopping_is_said_and_kept(stopped):
    place, done = stopped
    (said,) = [line for line in done.stderr.splitlines() if "training ended" in line]
    assert re.fullmatch(
        r"note: training ended after epoch (\d+) of 400: val_loss has not improved since epoch \d+", said
    )
    notes = json.loads((place / "run" / "result.json").read_text())["notes"]
    assert said.removeprefix("note: ") in notes
    last = [line for line in done.stderr.splitlines() if "loss" in line and line.startswith("epoch")][-1]
    assert last.startswith(f"epoch {said.split()[5]}/400  elapsed ")


def test_a_log_has_plain_lines_of_labelled_times(stopped):
    _, done = stopped
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
    ends = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
    assert 0 < len(ends) <= 21
    assert all(re.match(r"epoch \d+/400  elapsed \d+:\d\d(  remaining \d+:\d\d)?  ", line) for line in ends)
    assert max(len(line.partition("  loss")[0]) for line in ends) <= 80


def test_the_report_is_named_and_opened(stopped):
    place, done = stopped
    assert done.stdout.splitlines()[-2:] == ["the report is run/report.html", "everything is in run"]
    deadline = time.monotonic() + 20.0
    while not (place / "opened").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (place / "opened").read_text().strip() == (place / "run" / "report.html").resolve().as_uri()


def test_without_a_browser_the_report_is_only_named(stopped, tmp_path):
    place, _ = stopped
    done = command(
        tmp_path, "report", place / "run", "--out", "page.html", "--open", BROWSER="no-such-browser"
    )
    assert (done.returncode, done.stdout) == (0, "page.html\n")
    assert re.fullmatch(r"(note: .*page\.html\n)?", done.stderr)


# ------------------------------------------------------------------------- another backend


def run_of(place, name, backend, device=None, when=0):
    """A finished run's result."""
    result = Result("xor", "deep", "xor", "cpu", backend, "float32", 0, config={"device": device})
    RunFolder.create(place / name).write(result)
    os.utime(place / name / "result.json", (when, when))


@pytest.mark.usefixtures("unset")
def test_a_changed_default_is_said_once(tmp_path):
    backend = resolve("numpy")
    assert backend_change.note(tmp_path / "new", None, backend) == ""
    run_of(tmp_path, "first", "numba", when=1)
    said = backend_change.note(tmp_path / "new", None, backend)
    assert said.startswith(
        f"this run uses numpy on cpu, but the run before it ({tmp_path}/first) used numba on cpu"
    )
    assert said.endswith("install it and use --device numba")
    assert backend_change.note(tmp_path / "new", "numpy", backend) == ""  # it was asked for
    run_of(tmp_path, "second", "numpy", when=2)
    assert backend_change.note(tmp_path / "new", None, backend) == ""
    run_of(tmp_path, "third", "numba", device="numba", when=3)  # one that was asked for says nothing
    assert backend_change.note(tmp_path / "new", None, backend) == ""


@pytest.mark.usefixtures("unset")
def test_results_that_cannot_be_read_say_nothing_of_the_default(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    assert backend_change.note(tmp_path / "new", None, resolve("numpy")) == ""
    assert backend_change.note(tmp_path / "absent" / "new", None, resolve("numpy")) == ""


def test_a_device_in_the_environment_was_asked_for(tmp_path, monkeypatch):
    run_of(tmp_path, "first", "numba")
    monkeypatch.setenv("NNX_DEVICE", "numpy")
    assert backend_change.note(tmp_path / "new", None, resolve("numpy")) == ""


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.delenv("NNX_DEVICE", raising=False)
