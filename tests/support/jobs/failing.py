"""A job in which one rank fails in the way that is asked for, after it has named its process."""

import os
import sys
import time
from pathlib import Path

import numpy as np

import nnx


def main(folder, way, timeout):
    with nnx.distributed.connect("mpi", float(timeout)) as communicator:
        odd = communicator.rank == 1
        (Path(folder) / f"pid-{communicator.rank}").write_text(str(os.getpid()))
        x = np.random.default_rng(0).normal(size=(64, 8))
        if way == "data" and odd:
            x[63, 7] += 1e-6
        if way == "nan" and odd:
            x[:] = 1e300
        network = nnx.Network([nnx.Dense(8, 16), nnx.Tanh(), nnx.Dense(8)], dtype="float64", seed=0)

        class Slow(nnx.Callback):
            def on_epoch_end(self, run):
                if communicator.rank == 0:
                    network.save(Path(folder) / "model.safetensors")
                    (Path(folder) / "epoch").write_text(str(run.epoch))
                if way == "error" and odd and run.epoch == 2:
                    raise OSError("the disk of rank 1 is gone")
                time.sleep(0.01)

        optimizer = nnx.Adam(2e-3 if way == "option" and odd else 1e-3)
        if way == "library" and odd:
            np.__version__ = "1.0"
        epochs = 100_000 if way in ("wait", "error") else 3
        with np.errstate(all="ignore"):
            network.fit(
                x, x, loss=nnx.MeanSquaredError(), optimizer=optimizer, epochs=epochs, batch_size=16,
                callbacks=[Slow()], communicator=communicator,
            )  # fmt: skip


main(*sys.argv[1:])
