"""Run nnx in turns. VARIANT is a device, or a device and a way to train.

``numpy-loop`` and ``numba-loop`` write the steps by hand; ``gpu-eager`` launches each kernel by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from turns import Events, InTurns, main

from nnx.callbacks import Callback, Run
from nnx.experiments.compare.protocol import Gate, HostArray, Job
from nnx.experiments.compare.workers import nnx_worker


class Turns(Callback):
    """Stops at the gate after each epoch of one long `fit`; the first warms up."""

    def __init__(self, gate: Gate, early: float, kernel: str) -> None:
        self.gate, self.first = gate, {"loss": early, "kernel": kernel}

    def on_epoch_end(self, run: Run) -> None:
        """Report the time and the epoch's mean loss."""
        run.network.backend.synchronize()
        first = run.epoch == 1
        more = self.gate.open(**self.first) if first else self.gate.stop(loss=run.history["loss"][-1])
        if not more:
            run.stop = "the last turn is over"


class Nnx(InTurns, nnx_worker.Nnx):
    """A `Network`; it trains by `fit`, or by a loop written by hand."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        device, _, way = variant.partition("-")
        super().__init__(job, weights, device)
        self.by_hand = way == "loop"
        if way == "eager":
            self.how["graph"] = False

    def step(self, rows: Any) -> Any:
        """Train on these rows, or on all for None: by `fit`, or by hand as the README writes it."""
        if not self.by_hand:
            return super().step(rows)
        network, loss = self.network, self.how["loss"]
        x = network.asarray(self.x if rows is None else self.x[rows])
        y = x if self.y is self.x else self.targets(self.y if rows is None else self.y[rows])
        y_pred = network.forward(x, training=True)
        value = float(loss(y, y_pred))
        network.backward(loss.gradient(y, y_pred))
        self.how["optimizer"].step(network)
        return value

    def targets(self, y: Any) -> Any:
        """Return targets on the network's device; labels stay integers."""
        network = self.network
        return (network.backend if y.dtype.kind in "iu" else network).asarray(y)

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """Take so many steps: one `fit` on all rows, or by hand."""
        if not self.by_hand:
            return self.network.fit(self.x, self.y, epochs=len(rows), shuffle=False, **self.how)["loss"][-1:]
        if not self.job["restart"]:
            return [self.step(one) for one in rows]
        network, loss, optimizer = self.network, self.how["loss"], self.how["optimizer"]
        x, y = network.asarray(self.x), self.targets(self.y)
        for _ in rows:
            network.backward(loss.gradient(y, network.forward(x, training=True)))
            optimizer.step(network)
        return [float(loss(y, network.forward(x)))]

    def turns(self, gate: Gate) -> None:
        """Train by one long `fit`, a turn an epoch."""
        job = self.job
        if job["restart"] or job["task"] == "encode" or self.by_hand:
            super().turns(gate)
            return
        x = self.x[: job["check"] * job["batch_size"]]
        y = x if self.y is self.x else self.y[: len(x)]
        early = self.network.fit(x, y, shuffle=False, **self.how)["loss"][-1]
        turns = Turns(gate, early, self.kernel())
        self.network.fit(self.x, self.y, epochs=2**62, shuffle=job["shuffle"], callbacks=[turns], **self.how)

    def events(self) -> Any:
        """Return CuPy's events on a GPU."""
        if not self.variant.startswith("gpu"):
            return None
        import cupy

        return Events(cupy.cuda.Event, cupy.cuda.get_elapsed_time)


if __name__ == "__main__":
    main(Nnx, nnx_worker.about(sys.argv[2].partition("-")[0]))
