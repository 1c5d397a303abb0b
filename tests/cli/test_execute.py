"""A run's folder with other files in it, with closed streams, and with names that are not text."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from support.command_line import COMMAND, command, environment, visible

import nnx
from nnx.cli import execute as execution
from nnx.cli.execute import Options, execute, run_folder
from nnx.experiments import xor
from nnx.experiments.result import read_run

posix = pytest.mark.skipif(os.name != "posix", reason="signals, links and names of bytes are POSIX")
QUIET = Options("numpy", quiet=True, verbose=False)


def run(folder, job=None, options=QUIET):
    config = xor.Config("deep", epochs=3, device="numpy")
    return execute("xor", job or (lambda callbacks: xor.run(config, callbacks)), folder, options)


def fails(folder, error=None, before=None, options=QUIET):
    """A run that fails after its training."""

    def job(callbacks):
        result = xor.run(xor.Config("deep", epochs=3, device="numpy"), callbacks)
        if before is not None:
            before()
        raise error or RuntimeError(result)

    with pytest.raises((RuntimeError, nnx.NnxError)):
        run(folder, job, options)


def put(path, text="precious"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# -------------------------------------------------- what a failed run leaves alone


def test_hidden_files_of_others_stay(tmp_path):
    others = [".notes.tmp", "figures/.plot.tmp", ".my.very.own.2024.tmp", ".nnx-probe", ".dir.tmp/x"]
    for name in others:
        put(tmp_path / name)
    run(tmp_path)
    assert [(tmp_path / name).read_text() for name in others] == ["precious"] * 5
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("logs", [(), ("jsonl", "tensorboard")], ids=["plain", "logs"])
def test_a_run_that_fails_removes_what_it_wrote_and_nothing_else(tmp_path, logs):
    if logs:
        pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    options = Options("numpy", quiet=True, verbose=False, logs=logs)
    fails(tmp_path / "a" / "new", options=options)
    assert visible(tmp_path) == []

    def others():
        put(tmp_path / "b" / "notes.txt")
        put(tmp_path / "b" / "second" / "result.json")

    fails(tmp_path / "b", before=others, options=options)
    assert visible(tmp_path) == ["b", "b/notes.txt", "b/second", "b/second/result.json"]
    assert (tmp_path / "b" / "notes.txt").read_text() == "precious"


def test_a_run_that_fails_in_a_folder_that_was_there_removes_its_own_files(tmp_path, monkeypatch):
    put(tmp_path / "here" / "notes.txt")
    put(tmp_path / "here" / "figures" / "mine.png")
    put(tmp_path / "here" / "history.csv", "older")
    before = visible(tmp_path)
    monkeypatch.setattr("nnx.network.Network.save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "here")
    assert visible(tmp_path) == before


def test_a_trained_model_stays_where_its_report_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert "the trained model is saved in" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["unfinished", "checkpoints"])
def test_a_run_that_is_refused_leaves_the_checkpoints_of_another(tmp_path, place):
    kept = tmp_path / "run" / place / "fit-1-step-4.safetensors"
    put(kept)
    options = Options("numpy", quiet=True, verbose=False, resume=False, checkpoint_every="often")
    with pytest.raises(nnx.ConfigurationError, match="often"):
        run(tmp_path / "run", options=options)
    fails(tmp_path / "run", error=nnx.DataError("bad rows"))
    assert kept.read_text() == "precious"


@posix
def test_an_interrupted_run_leaves_what_others_put_into_its_folder(tmp_path):
    long = [*COMMAND, "run", "xor", "--epochs", "100000000", "--out", "exp", "-q", "--device", "numpy",
            "--log", "jsonl"]  # fmt: skip
    started = subprocess.Popen(
        long, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "exp" / "history.jsonl").exists():  # it trains
        assert started.poll() is None
        time.sleep(0.05)
    put(tmp_path / "exp" / "notes.txt")
    run(tmp_path / "exp" / "second")
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=60) == 143
    started.stderr.close()
    assert sorted(path.name for path in (tmp_path / "exp").iterdir()) == ["notes.txt", "second"]
    assert read_run(tmp_path / "exp" / "second").experiment == "xor"


# -------------------------------------------------------------- folders by time


def test_runs_of_the_same_second_have_separate_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execution, "default_folder", lambda name: Path("runs") / name)
    found = []
    for _ in range(3):
        with click.Context(click.Command("run")):
            found.append(run_folder("xor", None, False))
            put(found[-1] / "result.json")
    assert found == [Path("runs/xor"), Path("runs/xor-2"), Path("runs/xor-3")]


def test_a_run_that_is_refused_leaves_no_folder_of_its_time(tmp_path):
    done = command(tmp_path, "run", "xor", "--device", "gpu:77")
    assert done.returncode != 0
    assert visible(tmp_path) == []


# ----------------------------------------------------- closed streams, odd names


@posix
@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=str)
def test_a_run_whose_streams_are_closed_is_a_run(tmp_path, closed):
    def close():
        for number in closed:
            os.close(number)

    done = subprocess.run(
        [*COMMAND, "run", "xor", "--epochs", "5", "--device", "numpy", "--out", "run"],
        cwd=tmp_path, env=environment(tmp_path), preexec_fn=close, check=False, timeout=120,
        stdout=None if 1 in closed else subprocess.DEVNULL, stderr=None if 2 in closed else subprocess.PIPE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "run").experiment == "xor"
    assert nnx.load(tmp_path / "run" / "model.safetensors").inputs == 2
    assert "<html" in (tmp_path / "run" / "report.html").read_text()


ODD = os.fsdecode(b"o\xff")


def odd_folder(tmp_path):
    try:
        (tmp_path / ODD).mkdir()
    except OSError:
        pytest.skip("this file system takes only names that are text")
    return tmp_path / ODD


@posix
def test_names_that_are_no_text_are_names(tmp_path):
    """Of the output, the data and a class: trained on, reported, resumed, applied."""
    folder = odd_folder(tmp_path)
    images = folder / "images"
    from PIL import Image

    for name, shade in ((ODD, 0), ("b", 255)):
        (images / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((4, 4), abs(shade - number), np.uint8)
            Image.fromarray(pixels).save(images / name / f"{number}.png")
    out = folder / "run"
    train = ("train", images, "--epochs", 4, "--checkpoint-every", 1, "--device", "numpy", "--out", out, "-q")
    done = command(tmp_path, *train)
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").exists()
    (out / "result.json").unlink()
    done = command(tmp_path, *train, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["data"] == str(images)
    done = command(tmp_path, "predict", out, images, "--out", folder / "p.csv")
    assert done.returncode == 0, done.stderr
    assert "\\udcff" in (folder / "p.csv").read_text(encoding="utf-8")


@posix
def test_a_locale_without_letters(tmp_path):
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = command(tmp_path, "run", "xor", "--epochs", 5, "--device", "numpy", "--out", "é2", **plain)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "é2" / "result.json").exists()


@posix
@pytest.mark.parametrize("word", ["plain", "two words", "é", "it's", ODD, ODD + "'x y", "a\nb"])
def test_a_command_to_resume_can_be_pasted(word):
    bash = "/bin/bash"
    if not Path(bash).exists():
        pytest.skip("there is no bash here")
    quoted = execution._quoted(word)
    assert quoted.isprintable()
    if "$'" not in quoted:
        assert shlex.split(quoted) == [word]
    code = "import os, sys; print(os.fsencode(sys.argv[1]).hex())"
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {quoted}"
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True, check=True)
    assert bytes.fromhex(done.stdout) == os.fsencode(word)
