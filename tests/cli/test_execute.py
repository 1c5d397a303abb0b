"""A run writes a complete folder or nothing, and touches no file of others, whatever happens to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import click
import numpy as np
import pytest
from support.command_line import COMMAND, command, environment, visible

import nnx
from nnx.cli import execute as execution
from nnx.cli.execute import LIVE, Options, default_folder, execute, run_folder
from nnx.cli.interrupted import CHECKPOINTS
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


RESERVED = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10)),
}


def test_every_name_that_nnx_gives_is_one_that_every_system_takes(run_folders):
    given = {CHECKPOINTS, *LIVE.values()}
    for name in ("xor", "autoencoder", "svm", "compare", "all", "train"):
        given |= set(default_folder(name).parts)
    for folder in run_folders.values():
        given |= {part for path in folder.rglob("*") for part in path.relative_to(folder).parts}
    assert "report.html" in given
    for name in given:
        assert re.fullmatch(r"[a-z0-9._-]+", name), name  # no colon, no capital that another system folds
        assert not name.endswith("."), name
        assert name.split(".")[0].upper() not in RESERVED, name


# ----------------------------------------------------- signals and full disks


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
