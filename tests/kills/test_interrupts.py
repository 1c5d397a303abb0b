"""Ctrl-C and SIGTERM during training: the step ends, a checkpoint is written, the run can be resumed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.command_line import COMMAND, command, environment, visible
from support.places import with_helpers
from support.resumed import same, train

import nnx

pytestmark = pytest.mark.slow

TRAIN = ("run", "autoencoder", "--dataset", "digits", "--preset", "shallow", "--epochs", 12,
         "--batch-size", 4, "--device", "numpy")  # fmt: skip


def outcome(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("model.safetensors", "history.csv")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same run, never stopped."""
    place = tmp_path_factory.mktemp("whole")
    done = command(place, *TRAIN, "--out", "run", "-q")
    assert done.returncode == 0, done.stderr
    return outcome(place / "run")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_and_prints_how_to_resume(tmp_path, whole, number, status):
    process = subprocess.Popen(
        [*COMMAND, *map(str, TRAIN), "--checkpoint-every", "1h", "--out", "run"],
        cwd=tmp_path, env=environment(tmp_path), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/12")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert out == ""
    tail, last = [line for line in err.splitlines() if line][-2:]
    kept, _, tail = tail.partition("; to resume: ")
    assert re.fullmatch(r"training is saved up to step [\d,]+, in run", kept)
    assert tail.startswith("nnx run autoencoder ")
    assert last in ("nnx: interrupted", "nnx: terminated")
    steps = [int(name.split("-")[3].partition(".")[0]) for name in visible(tmp_path / "run" / "checkpoints")
             if name.startswith("fit")]  # fmt: skip
    assert min(steps) == 0
    assert 0 < max(steps) < 12 * 360
    assert not (tmp_path / "run" / "model.safetensors").exists()
    arguments = tail.removeprefix("nnx ").split()
    done = command(tmp_path, *arguments, "-q")
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "run") == whole


SLOW = """
import signal, sys, time
import numpy as np, nnx

class Slow(nnx.Callback):
    def on_step_end(self, run):
        if run.step == 5:
            print("slow", flush=True)
            end = time.monotonic() + 60.0
            held = signal.getsignal(signal.SIGINT).__self__  # training's own handler
            while not held.number:
                time.sleep(0.01)
            print("held", flush=True)
            while time.monotonic() < end:
                time.sleep(0.01)

from support.resumed import train
try:
    train(callbacks=[Slow()], checkpoint=nnx.Checkpoint(sys.argv[1], every=2))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_second_signal_does_not_wait(tmp_path):
    """The step takes a minute: the first signal waits for it, the second ends it at once."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)],
        env=with_helpers(), text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "slow\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "held\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == "interrupted\n"
    assert [path.name for path in tmp_path.glob("*step-[345]*")] == ["fit-1-step-4.safetensors"]
    same(train(checkpoint=nnx.Checkpoint(tmp_path, resume=True)), train())


class Signal(nnx.Callback):
    """A signal at a step, or at an epoch's end."""

    def __init__(self, step=0, epoch=0, number=signal.SIGINT):
        self.step, self.epoch, self.number = step, epoch, number

    def on_step_end(self, run):
        if run.step == self.step:
            signal.raise_signal(self.number)

    def on_epoch_end(self, run):
        if run.epoch == self.epoch:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("when", [{"step": 1}, {"step": 8}, {"step": 11}, {"epoch": 2}, {"step": 40}])
def test_in_a_script_it_is_a_keyboard_interrupt_after_the_checkpoint(tmp_path, when):
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[Signal(**when)], checkpoint=nnx.Checkpoint(tmp_path, every=1000))
    step = when.get("step") or 16
    assert (tmp_path / f"fit-1-step-{step}.safetensors").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    same(train(checkpoint=nnx.Checkpoint(tmp_path, resume=True)), train())


def test_a_compiled_loop_is_interrupted_between_its_blocks(tmp_path):
    pytest.importorskip("numba", reason="Numba is not installed")

    class AtEpoch(nnx.Callback):
        every_n_epochs = 100

        def on_epoch_end(self, run):
            if run.epoch == 100:
                signal.raise_signal(signal.SIGINT)

    def fit(*callbacks, **how):
        made = nnx.Network([nnx.Dense(2, 4), nnx.Tanh(), nnx.Dense(1)], device="numba", seed=1)
        x = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])
        options = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.SGD(0.1), "batch_size": 4}
        return made, made.fit(x, x[:, :1] * x[:, 1:], epochs=300, callbacks=callbacks, **options, **how)

    with pytest.raises(KeyboardInterrupt):
        fit(AtEpoch(), checkpoint=nnx.Checkpoint(tmp_path, every=10**6))
    assert (tmp_path / "fit-1-step-100.safetensors").exists()
    same(fit(checkpoint=nnx.Checkpoint(tmp_path, every=10**6, resume=True)), fit())


def test_without_checkpoints_an_interrupt_is_as_ever():
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[Signal(step=3)])


def test_another_threads_training_leaves_signals_alone(tmp_path):
    from threading import Thread

    def run():
        train(checkpoint=nnx.Checkpoint(tmp_path))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert (tmp_path / "fit-1-step-40.safetensors").exists()
