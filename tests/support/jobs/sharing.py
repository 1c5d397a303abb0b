"""Train on the shards of FOLDER, stop by one rank; the first tells what each read, and where it stopped."""

import json
import sys
from pathlib import Path

import numpy as np

import nnx
from nnx import datasets
from nnx.data import samples

ROWS = 333


def write(folder):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 6))
    for name, array in {"x": x, "y": np.tanh(x @ rng.normal(size=(6, 2)))}.items():
        (folder / name).mkdir()
        for number, shard in enumerate(np.split(array, [150, 153])):
            np.save(folder / name / f"{number}.npy", shard)


def network(width):
    return nnx.Network([nnx.Dense(6, 12), nnx.Tanh(), nnx.Dense(width)], dtype="float64", seed=1)


def fit(own, x, y, communicator, **options):
    return own.fit(
        x, y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(1e-2), communicator=communicator, **options
    )


def read(folder, batch_size, communicator):
    """The loss curve, and the rows that this rank read of the inputs."""
    rows = []
    usual = nnx.Rows.read

    def counted(self, indices, out=None):
        if self.shape[1:] == (6,):
            rows.extend(np.asarray(indices).tolist())
        return usual(self, indices, out)

    nnx.Rows.read = counted
    try:
        x, y = (datasets.open_rows(folder / name) for name in "xy")
        history = fit(network(2), x, y, communicator, batch_size=batch_size, epochs=3)
    finally:
        nnx.Rows.read = usual
    return {"loss": history["loss"], "rows": rows}


def stop(rank, communicator, best=False):
    """Where all stop, when this rank alone watches the loss."""
    x = np.random.default_rng(0).normal(size=(64, 6))
    watching = nnx.EarlyStopping("loss", patience=2, min_delta=1e9, restore_best=best)
    mine = [watching] if communicator.rank == rank else []
    own = network(6)
    history = fit(own, x, x, communicator, batch_size=16, epochs=50, callbacks=mine)
    return {"epochs": len(history["loss"]), "sum": float(own.arena.values.sum())}


def main(folder, how="all"):
    samples.READ_WHOLE = 0  # so small files are streamed as large ones are
    with nnx.distributed.connect("mpi", timeout=20.0) as communicator:
        if how == "best":
            stop(1, communicator, best=True)
            return
        if communicator.rank == 0 and not any(Path(folder).iterdir()):
            write(Path(folder))
        communicator.barrier("the files")
        told = {str(size): read(Path(folder), size, communicator) for size in (32, 83)}
        told["stop"] = [stop(rank, communicator) for rank in range(communicator.size)]
        every = communicator.gather(json.dumps(told))
        if communicator.rank == 0:
            print(f"[{','.join(every)}]")


main(*sys.argv[1:])
