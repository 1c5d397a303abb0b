"""Train epochs on the files in FOLDER: VARIANT is ``streamed``, with a memory limit, or ``loaded``."""

from __future__ import annotations

import resource

from protocol import Gate

import nnx


class Turns(nnx.Callback):
    """End a turn after each epoch of one running `fit`."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_epoch_end(self, run: nnx.callbacks.Run) -> None:
        """Report the time and the mean loss of the epoch."""
        tell = self.gate.ready if run.epoch == 1 else self.gate.stop
        tell(run.history["loss"][-1])


def main() -> None:
    """Train in turns."""
    gate = Gate()
    job = gate.job
    if gate.variant == "streamed":
        resource.setrlimit(resource.RLIMIT_DATA, (job["limit"], job["limit"]))
    rows = nnx.datasets.open_rows(gate.folder / "shards")
    if gate.variant == "loaded":
        rows = rows.loaded()
    width = rows.shape[1]
    layers: list[nnx.Layer] = []
    for units in job["hidden"]:
        layers += [nnx.Dense(units), nnx.ReLU()]
    network = nnx.Network([*layers, nnx.Dense(width), nnx.Sigmoid()], device=job["device"], seed=0)
    network.fit(
        rows, rows, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=2**62,
        batch_size=job["batch"], callbacks=[Turns(gate)],
    )  # fmt: skip


if __name__ == "__main__":
    main()
