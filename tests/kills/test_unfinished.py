"""A run of more than a minute writes checkpoints without being asked, and removes them at its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.command_line import command, environment, visible
from support.resumed import network, same, train

import nnx

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
# The command line, where a run counts as long after 0.3 seconds and says when it keeps a checkpoint.
IMPATIENT = """
import sys
from nnx.checkpoints import Checkpoint
from nnx.cli import execute, main

execute.LONG = "0.3s"
take = Checkpoint.take

def told(self, run):
    take(self, run)
    print("a checkpoint", self.newest, file=sys.stderr, flush=True)

Checkpoint.take = told
main()
"""
RUN = ("run", "autoencoder", "--dataset", "digits", "--preset", "shallow", "--batch-size", "4",
       "--device", "numpy", "--epochs", "60")  # fmt: skip


def impatient(place, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *arguments], cwd=place, env=environment(place), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def outcome(folder):
    return [(folder / name).read_bytes() for name in ("model.safetensors", "history.csv")]


# ------------------------------------------------------------------------- the library


class Wait(nnx.Callback):
    """Sleeps in one step, and raises a signal at the end of another."""

    def __init__(self, step=0, seconds=0.0, interrupt=0):
        self.step, self.seconds, self.interrupt = step, seconds, interrupt

    def on_step_end(self, run):
        if run.step == self.step:
            time.sleep(self.seconds)
        if run.step == self.interrupt:
            signal.raise_signal(signal.SIGINT)


def test_training_that_ends_sooner_writes_nothing(tmp_path):
    same(train(checkpoint=nnx.Checkpoint(tmp_path / "kept", wait="1h")), train())
    assert visible(tmp_path) == []


@posix
def test_training_that_is_interrupted_sooner_writes_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[Wait(interrupt=7)], checkpoint=nnx.Checkpoint(tmp_path / "kept", every=1, wait="1h"))
    assert visible(tmp_path) == []


@posix
def test_training_that_is_interrupted_later_can_be_resumed(tmp_path):
    def kept(**options):
        return nnx.Checkpoint(tmp_path / "kept", "1h", wait="0.2s", **options)

    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[Wait(step=5, seconds=0.3, interrupt=11)], checkpoint=kept())
    assert [path.name for path in (tmp_path / "kept").glob("fit*")] == ["fit-1-step-11.safetensors"]
    again = kept(resume=True)
    same(train(checkpoint=again), train())
    again.remove()
    assert visible(tmp_path) == []


def test_a_checkpoint_is_written_as_soon_as_the_wait_is_over(tmp_path):
    train(
        callbacks=[Wait(step=5, seconds=0.3)],
        checkpoint=nnx.Checkpoint(tmp_path, "0.2s", keep=9, wait="0.2s"),
    )
    steps = sorted(int(path.stem.rpartition("-")[2]) for path in tmp_path.glob("fit*"))
    assert steps[0] == 5
    assert 40 in steps  # the end


def test_others_files_stay_when_checkpoints_are_removed(tmp_path):
    kept = nnx.Checkpoint(tmp_path, every=10)
    train(checkpoint=kept)
    (tmp_path / "notes.txt").touch()
    kept.remove()
    assert visible(tmp_path) == ["notes.txt"]


def test_going_back_needs_a_checkpoint_of_the_beginning(tmp_path):
    with pytest.raises(nnx.ConfigurationError, match="on_nonfinite='rollback' returns to a checkpoint"):
        train(checkpoint=nnx.Checkpoint(tmp_path, wait="1m"), on_nonfinite="rollback")


@pytest.mark.parametrize("wait", ["often", "10", "-1s", ""])
def test_a_wait_is_a_time(tmp_path, wait):
    with pytest.raises(nnx.ConfigurationError, match="wait must be a time such as '1m'"):
        nnx.Checkpoint(tmp_path, wait=wait)


@pytest.mark.parametrize("epochs", [4, 6])
def test_a_schedule_that_follows_the_epochs_is_explained(tmp_path, epochs):
    def fit(epochs, resume):
        optimizer = nnx.Adam(nnx.Cosine(1e-2, epochs * 8))
        return train(
            network(), checkpoint=nnx.Checkpoint(tmp_path, resume=resume), epochs=epochs, optimizer=optimizer
        )

    fit(5, resume=False)
    with pytest.raises(nnx.ConfigurationError, match=r"a run of 5 epochs, .* resume with epochs 5, or start"):
        fit(epochs, resume=True)


# -------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never stopped, and what it said."""
    place = tmp_path_factory.mktemp("whole")
    process = impatient(place, *RUN, "--out", "run", "--json")
    printed, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return place / "run", printed, err


@posix
@pytest.mark.parametrize("out", [("--out", "run"), ()])
def test_an_interrupted_run_says_the_command_that_resumes_it(tmp_path, whole, out):
    process = impatient(tmp_path, *RUN, *out)
    assert any("a checkpoint" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")
    said, last = [line for line in err.splitlines() if line][-2:]
    assert last == "nnx: interrupted"
    kept, _, resuming = said.partition("; to resume: nnx ")
    (folder,) = tmp_path.glob("runs/*") if not out else [tmp_path / "run"]
    assert kept.startswith("training is saved up to step ")
    assert kept.endswith(f", in {folder.relative_to(tmp_path)}")
    (checkpoint,) = (folder / "unfinished").glob("fit-*")  # the newest only
    assert kept.split()[6].replace(",", "") == f"{checkpoint.stem.rpartition('-')[2]}"
    if out:
        done = command(tmp_path, *resuming.split(), "-q")
        assert done.returncode == 0, done.stderr
        assert not (folder / "unfinished").exists()
        assert outcome(folder) == outcome(whole[0])
    else:
        assert resuming == " ".join([*RUN, "--out", str(folder.relative_to(tmp_path)), "--resume"])


def test_a_long_run_that_finishes_leaves_no_checkpoint(whole):
    folder, printed, err = whole
    assert "a checkpoint run/unfinished/fit-1-step-" in err
    assert not any("unfinished" in name for name in visible(folder))
    assert "unfinished" not in printed


@posix
def test_a_run_that_is_interrupted_at_once_says_that_nothing_is_kept(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nnx", *RUN], cwd=tmp_path, env=environment(tmp_path), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert any("epoch 3/" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in err.splitlines() if line][-2:] == [
        "nothing was saved: checkpoints start after a minute of training, or earlier with --checkpoint-every",
        "nnx: interrupted",
    ]
    assert visible(tmp_path) == []


@posix
def test_a_run_of_several_experiments_is_resumed_where_it_stopped(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nnx", "run", "all", "--dataset", "digits", "--device", "numpy"],
        cwd=tmp_path, env=environment(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert any("/100" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    said = [line for line in err.splitlines() if line][-2]
    kept, _, resuming = said.partition("; to resume: nnx ")
    (folder,) = tmp_path.glob("runs/*")
    assert kept == f"the finished runs are saved in {folder.relative_to(tmp_path)}"
    before = (folder / "xor" / "result.json").stat().st_mtime_ns
    done = command(tmp_path, *resuming.split())
    assert done.returncode == 0, done.stderr
    assert f"note: the run in {folder.relative_to(tmp_path)}/xor is finished" in done.stderr
    assert (folder / "xor" / "result.json").stat().st_mtime_ns == before
    assert {name.name for name in folder.iterdir()} == {"xor", "autoencoder", "svm"}


@pytest.fixture
def begun(tmp_path):
    """Two runs without a result, as one that was stopped leaves them."""
    np.savez(tmp_path / "data.npz", x=np.eye(40, 3), y=np.arange(40) % 2)
    small = ("--dataset", "digits", "--epochs", "2", "--out", "deep")
    own = ("data.npz", "--layers", "8 relu", "--epochs", "3", "--out", "own")
    for words in (("run", "autoencoder", *small), ("train", *own)):
        done = command(tmp_path, *words, "-q", "--checkpoint-every", "1000")
        assert done.returncode == 0, done.stderr
    for name in ("deep", "own"):
        (tmp_path / name / "result.json").unlink()
    return small, own


def test_an_option_that_differs_is_named(tmp_path, begun):
    small, own = begun
    for words, said in (
        (("run", "autoencoder", *small, "--seed", "1"), "with --seed 0, and this one is with --seed 1"),
        (("run", "autoencoder", *small, "--batch-size", "16"),
         "without --batch-size, and this one is with --batch-size 16"),
        (("run", "autoencoder", *small, "--epochs", "3"),
         "of 2 epochs, and its learning rate depends on that number: resume with --epochs 2"),
        (("train", *own, "--layers", "9 relu"), "--layers '8 relu', and this one is with --layers '9 relu'"),
    ):  # fmt: skip
        done = command(tmp_path, *words, "--resume", "-q")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
        assert "(" not in done.stderr  # no repr
    np.savez(tmp_path / "data.npz", x=2 * np.eye(40, 3), y=np.arange(40) % 2)
    done = command(tmp_path, "train", *own, "--resume", "-q")
    assert done.returncode == 2
    assert re.search(r"from a run with other (training|validation) data: resume with the same", done.stderr)


@posix
def test_training_continues_where_a_checkpoint_that_waited_cannot_be_written(tmp_path, caplog, monkeypatch):
    """A model of this size fits into the quota, its checkpoint does not."""
    import resource

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would be cut
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    made, history = train()
    made.save(tmp_path / "model.safetensors")
    size = (tmp_path / "model.safetensors").stat().st_size
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        unasked = nnx.Checkpoint(tmp_path / "kept", every=1, wait="0.001s")
        same(train(callbacks=[Wait(step=2, seconds=0.01)], checkpoint=unasked), (made, history))
        with pytest.raises(nnx.OutputError, match="cannot write"):
            train(checkpoint=nnx.Checkpoint(tmp_path / "asked", every=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, before)
    warned = [r.getMessage() for r in caplog.records if "training continues" in r.getMessage()]
    assert len(warned) == 1
    assert "kept/fit-1-step-" in warned[0]
    assert not list((tmp_path / "kept").glob("fit*"))
