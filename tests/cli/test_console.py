"""The command line on a terminal, after an interrupt, with a full disk, and with a closed pipe."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from support.command_line import COMMAND, command, environment, visible

import nnx

# --------------------------------------------------- interrupts, full disks, closed pipes


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_training_leaves_nothing(tmp_path, number, status):
    process = subprocess.Popen(
        [*COMMAND, "run", "autoencoder", "--dataset", "digits", "--preset", "shallow",
         "--batch-size", "1437", "--epochs", "4000", "--out", "deep/er/run"],
        cwd=tmp_path, env=environment(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    assert any(line.startswith("epoch 200/4000") for line in iter(process.stderr.readline, ""))
    assert (tmp_path / "deep/er/run").is_dir()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert out == ""
    assert err.splitlines()[-1] in ("nnx: interrupted", "nnx: terminated")
    assert visible(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="file sizes are limited on POSIX systems only")
def test_a_model_that_cannot_be_written_leaves_nothing(tmp_path):
    done = command(tmp_path, "run", "xor", "--epochs", 1, "--out", "new", "-q", limit=300)
    assert done.returncode == 1
    assert done.stderr.startswith("nnx: cannot write new/model.safetensors (File too large)")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name != "posix", reason="file sizes are limited on POSIX systems only")
def test_a_figure_that_cannot_be_written_leaves_the_model_and_no_result(tmp_path):
    done = command(tmp_path, "run", "xor", "--epochs", 10, "--out", "new", "-q", limit=6000)
    assert done.returncode == 1
    kept, error = done.stderr.splitlines()[-2:]
    assert kept == "the trained model is saved in new"
    assert error.startswith("nnx: cannot write new/figures/")
    assert [name for name in visible(tmp_path / "new") if "." in name] == ["history.csv", "model.safetensors"]
    assert nnx.load(tmp_path / "new" / "model.safetensors").inputs == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("devices",), ("devices", "--json"), ("--version",)])
def test_a_full_standard_output_is_a_failure(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        done = command(tmp_path, *arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "nnx: the system reports an error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [("devices",), ("devices", "--json")])
def test_a_reader_that_has_gone_is_no_traceback(tmp_path, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = command(tmp_path, *arguments, stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


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
