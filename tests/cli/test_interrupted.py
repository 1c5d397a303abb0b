"""A run that fails or is interrupted removes what is of no use, and says how to resume the rest."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import nnx
from nnx.cli import interrupted
from nnx.cli.interrupted import CHECKPOINTS, UNFINISHED, nothing_half_written
from nnx.files import make_folder, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="names of bytes are POSIX")
ODD = os.fsdecode(b"o\xff")


def stop(folder, error, *names, out=None, resume=False):
    """A run that writes these files, and then stops with an error."""

    def run():
        for name in names:
            make_folder((folder / name).parent)
            with replacing(folder / name) as file:
                file.write(b"a")
        raise error

    with pytest.raises(type(error)), nothing_half_written(folder, out, resume):
        run()


def test_what_was_written_is_removed(tmp_path, capsys):
    stop(tmp_path / "run", RuntimeError(), "result.json", "figures/a.png")
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_trained_model_stays(tmp_path, capsys):
    stop(tmp_path / "run", RuntimeError(), "model.safetensors", "figures/a.png")
    assert (tmp_path / "run" / "figures" / "a.png").exists()
    assert capsys.readouterr().err == f"the trained model is saved in {tmp_path / 'run'}\n"


@pytest.mark.parametrize("place", [CHECKPOINTS, UNFINISHED])
def test_checkpoints_stay_and_the_command_that_resumes_is_printed(tmp_path, capsys, monkeypatch, place):
    monkeypatch.setattr(sys, "argv", ["nnx", "run", "xor"])
    run = tmp_path / "run"
    stop(run, KeyboardInterrupt(), f"{place}/fit-1-step-40.safetensors")
    assert (run / place / "fit-1-step-40.safetensors").exists()
    assert capsys.readouterr().err == (
        f"training is saved up to step 40, in {run}; to resume: nnx run xor --out {run} --resume\n"
    )


def test_a_run_that_would_fail_again_leaves_no_checkpoint_of_its_own(tmp_path):
    name = f"{UNFINISHED}/fit-1-step-40.safetensors"
    stop(tmp_path / "run", nnx.DataError(""), name)
    assert list(tmp_path.iterdir()) == []
    stop(tmp_path / "run", nnx.DataError(""), name, resume=True)
    assert (tmp_path / "run" / name).exists()


@pytest.mark.parametrize(
    ("resume", "text"), [(False, "nothing was saved: checkpoints start"), (None, "nothing of this run")]
)
def test_an_interrupt_says_that_nothing_is_saved(tmp_path, capsys, resume, text):
    stop(tmp_path / "run", KeyboardInterrupt(), "history.csv", resume=resume)
    assert capsys.readouterr().err.startswith(text)


def test_of_several_runs_the_finished_ones_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["nnx", "run", "all", "--out", "all"])
    put = make_folder(tmp_path / "first") / "result.json"
    put.write_text("{}", encoding="utf-8")
    stop(tmp_path / "second", KeyboardInterrupt(), out=tmp_path, resume=None)
    assert capsys.readouterr().err == (
        f"the finished runs are saved in {tmp_path}; to resume: nnx run all --out all --resume\n"
    )


@posix
@pytest.mark.parametrize("word", ["plain", "two words", "é", "it's", ODD, ODD + "'x y", "a\nb"])
def test_a_command_to_resume_can_be_pasted(word):
    bash = "/bin/bash"
    if not Path(bash).exists():
        pytest.skip("there is no bash here")
    quoted = interrupted._quoted(word)
    assert quoted.isprintable()
    if "$'" not in quoted:
        assert shlex.split(quoted) == [word]
    code = "import os, sys; print(os.fsencode(sys.argv[1]).hex())"
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {quoted}"
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True, check=True)
    assert bytes.fromhex(done.stdout) == os.fsencode(word)
