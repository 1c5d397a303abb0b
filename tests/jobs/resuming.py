"""Train, by several ranks or none: whole, up to a signal or word of the last rank, or from a checkpoint."""

import json
import os
import signal
import sys

import numpy as np

import nnx


class Signal(nnx.Callback):
    """Ctrl-C for this rank alone, in the middle of an epoch."""

    def on_step_end(self, run):
        self.step = run.step
        if run.step == 13:
            os.kill(os.getpid(), signal.SIGINT)


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
        callbacks = [nnx.EarlyStopping("loss", patience=4)]
        if how != "whole":
            callbacks.append(nnx.Checkpoint(folder, every=1000, resume=how == "resume"))
        if communicator.rank == communicator.size - 1:
            callbacks += {"half": [Signal()], "stop": [Stop()]}.get(how, [])
        try:
            history = network.fit(
                x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(nnx.Cosine(1e-2, 60)), epochs=10,
                batch_size=16, callbacks=callbacks, communicator=communicator,
            )  # fmt: skip
            told = json.dumps(history.metrics["loss"])
        except KeyboardInterrupt:
            told = f"step {network.arena.step}"
        every = communicator.gather(told)
        if communicator.rank == 0:
            assert len(set(every)) == 1, every
            print(told)


main(*sys.argv[1:])
