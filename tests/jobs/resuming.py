"""Train some epochs, by several ranks or none; the first alone reads and keeps where it stopped."""

import json
import sys

import numpy as np

import nnx


class Kept(nnx.Callback):
    """What a checkpoint is made of, on the first rank."""

    every_rank = False

    def __init__(self, path, resume):
        self.path, self.resume = path, resume

    def state(self, run):
        (kept,) = run.network.arena.states.values()
        return kept, {"values": run.network.arena.values, "state": run.network.arena.state, **kept.slots}

    def on_train_begin(self, run):
        if self.resume:
            kept, arrays = self.state(run)
            with np.load(self.path) as file:
                for name, array in arrays.items():
                    array[...] = file[name]
                run.network.arena.step, kept.step, run.step, run.epoch = file["counts"].tolist()
                run.history.metrics = {"loss": file["loss"].tolist()}
                run.history.epochs = list(range(1, run.epoch + 1))

    def on_train_end(self, run):
        kept, arrays = self.state(run)
        counts = [run.network.arena.step, kept.step, run.step, run.epoch]
        np.savez(self.path, counts=counts, loss=run.history["loss"], **arrays)


def main(path, epochs, resume):
    with nnx.distributed.connect("mpi", 20.0) as communicator:
        x = np.random.default_rng(0).normal(size=(75, 6))
        layers = [nnx.Dense(6, 16), nnx.BatchNorm(), nnx.Dropout(0.1), nnx.Tanh(), nnx.Dense(6)]
        network = nnx.Network(layers, dtype="float64", seed=0)
        history = network.fit(
            x, x, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(nnx.Cosine(1e-2, 60)), epochs=int(epochs),
            batch_size=16, callbacks=[Kept(path, resume == "resume")], communicator=communicator,
        )  # fmt: skip
        told = communicator.gather(json.dumps(history.metrics["loss"]))
        if communicator.rank == 0:
            assert len(set(told)) == 1, told
            print(told[0])


main(*sys.argv[1:])
