"""Train, by several ranks or none: whole, up to a signal or word of a rank, or on from a checkpoint."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import nnx


class Signal(nnx.Callback):
    """A signal for this rank alone, in the middle of an epoch."""

    def __init__(self, number):
        self.number = number

    def on_step_end(self, run):
        if run.step == 13:
            os.kill(os.getpid(), self.number)


class Slow(nnx.Callback):
    """From the middle of an epoch on there is time for a signal to the launcher."""

    def __init__(self, folder):
        self.folder = folder

    def on_step_end(self, run):
        if run.step >= 13:
            (self.folder / "slow").touch()
            time.sleep(0.5)


class Stop(nnx.Callback):
    """A reason to stop that this rank alone has."""

    def on_epoch_end(self, run):
        if run.epoch == 3:
            run.stop = "it is enough"


def main(folder, how):
    with nnx.distributed.connect("mpi", 20.0) as communicator:
        x = np.random.default_rng(0).normal(size=(75, 6))
        layers = [nnx.Dense(6, 16), nnx.BatchNorm(), nnx.Dropout(0.1), nnx.Tanh(), nnx.Dense(6)]
        network = nnx.Network(layers, dtype="float64", seed=0)
        callbacks, checkpoint = [nnx.EarlyStopping("loss", patience=4)], None
        if how != "whole":
            every = 5 if how == "killed" else 1000
            checkpoint = nnx.Checkpoint(Path(folder, "kept"), every, resume=how == "resume")
        if communicator.rank == communicator.size - 1:
            own = {"half": Signal(signal.SIGINT), "killed": Signal(signal.SIGKILL), "stop": Stop()}
            callbacks += [own[how]] if how in own else []
        if how == "slow":
            callbacks.append(Slow(Path(folder)))
        try:
            history = network.fit(
                x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(nnx.Cosine(1e-2, 60)), epochs=10,
                batch_size=16, callbacks=callbacks, checkpoint=checkpoint, communicator=communicator,
            )  # fmt: skip
            told = json.dumps(history.metrics["loss"])
        except KeyboardInterrupt:
            told = f"step {network.arena.step}"
        every = communicator.gather(told)
        if communicator.rank == 0:
            assert len(set(every)) == 1, every
            print(told)


main(*sys.argv[1:])
