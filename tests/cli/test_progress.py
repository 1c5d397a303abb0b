"""What a run prints while it runs, on a terminal and elsewhere, and what it says at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest
from support.command_line import COMMAND, command, environment

from nnx.cli import progress
from nnx.experiments.stages import shown_by, stage


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (36610, "10:10:10")],
)
def test_a_time_reads_as_on_a_clock(seconds, text):
    assert progress.clock(seconds) == text


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


# ------------------------------------------------------------------------------ a terminal


def on_terminal(tmp_path, *arguments, interrupt=False, **variables):
    """What a terminal of 80 columns receives, and the exit status."""
    import fcntl
    import pty
    import termios

    screen, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdin=line, stdout=line, stderr=line,
        env=environment(tmp_path, **{"TERM": "xterm-256color", **variables}),
    )  # fmt: skip
    os.close(line)
    seen = b""
    with os.fdopen(screen, "rb", buffering=0) as reader:
        while True:
            try:
                part = reader.read(4096)
            except OSError:  # Linux says so when the last writer has gone
                break
            if not part:
                break
            seen += part
            if interrupt and re.search(rb"loss \d", seen):  # the first that is shown may be 8.9e-05
                interrupt = False
                process.send_signal(signal.SIGINT)
    return process.wait(timeout=30), seen.decode()


TRAIN = ("run", "xor", "--out", "run")


COLOUR = re.compile(r"\x1b\[(3|4|9)\d")


pytest_posix = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")


@pytest_posix
@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_a_bar(tmp_path, no_color):
    variables = {"NO_COLOR": "1"} if no_color else {}
    status, seen = on_terminal(tmp_path, *TRAIN, "--epochs", "3000", **variables)
    assert status == 0
    assert "━━━" in seen
    assert "loss 0." in seen
    assert bool(COLOUR.search(seen)) is not no_color
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") >= 1  # the cursor came back
    lines = [re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", part) for part in re.split(r"[\r\n]", seen)]
    assert max(map(len, lines)) <= 80
    bars = [line for line in lines if line.startswith("epoch ")]
    assert bars[-1].startswith("epoch 3000/3000 ")
    assert re.search(r"  elapsed \d:\d\d  remaining 0:00\s*$", bars[-1])
    assert any(re.match(r"after epoch 3000: loss 0\.\d+", line) for line in lines)
    assert any(line.startswith("drawing figures") for line in lines)


@pytest_posix
def test_an_interrupt_on_a_terminal_gives_the_cursor_back(tmp_path):
    status, seen = on_terminal(tmp_path, *TRAIN, "--epochs", "9000000", interrupt=True)
    assert status == 130
    assert seen.rstrip().endswith("nnx: interrupted")
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") >= 1
    assert not (tmp_path / "run").exists()


@pytest_posix
def test_a_quiet_run_shows_no_bar_on_a_terminal(tmp_path):
    status, seen = on_terminal(tmp_path, *TRAIN, "--epochs", "2", "-q")
    assert status == 0
    assert "━━━" not in seen
    assert "Predictions" in seen
