"""Train epochs on the files in FOLDER: VARIANT is ``streamed``, with a memory limit, or ``loaded``."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import nnx
from nnx.experiments.compare.protocol import Gate, Job, Line, Store, serve


class Turns(nnx.Callback):
    """End a turn after each epoch of one running `fit`."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_epoch_end(self, run: nnx.callbacks.Run) -> None:
        """Report the time and the epoch's mean loss."""
        report = self.gate.open if run.epoch == 1 else self.gate.stop
        if not report(loss=run.history["loss"][-1]):
            run.stop = "the last turn is over"


def turns(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Train in turns."""
    streamed = sys.argv[2] == "streamed"
    if streamed:
        resource.setrlimit(resource.RLIMIT_DATA, (job["limit"], job["limit"]))
    rows = nnx.datasets.open_rows(store.folder / "shards")
    rows = rows if streamed else rows.loaded()
    layers: list[nnx.Layer] = []
    for units in job["hidden"]:
        layers += [nnx.Dense(units), nnx.ReLU()]
    network = nnx.Network([*layers, nnx.Dense(rows.shape[1]), nnx.Sigmoid()], device="numpy", seed=0)
    network.fit(
        rows, rows, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=2**62,
        batch_size=job["batch"], callbacks=[Turns(Gate(line))],
    )  # fmt: skip
    return {}


if __name__ == "__main__":
    serve(Path(sys.argv[1]), {"turns": turns}, {"versions": {"nnx": nnx.__version__}}, Line())
