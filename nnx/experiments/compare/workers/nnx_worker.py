"""nnx's side, by `Network.fit`. VARIANT is a device, or ``numpy-loop``, ``numba-loop``: steps by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import nnx
from nnx import Network, losses, optimizers, schedules
from nnx.backends import resolve
from nnx.callbacks import Callback, Run
from nnx.experiments.compare.protocol import Gate, HostArray, Job
from nnx.experiments.compare.workers.base import PREDICT_ROWS, Events, Model, main

DEVICE, _, BY_HAND = sys.argv[2].partition("-") if len(sys.argv) > 2 else ("cpu", "", "")


class Parts(Callback):
    """Stops at the gate after each part."""

    def __init__(self, gate: Gate, stops: list[int]) -> None:
        self.gate, self.stops = gate, set(stops)

    def on_train_begin(self, run: Run) -> None:
        """Everything is ready."""
        self.gate.open()

    def on_step_end(self, run: Run) -> None:
        """Stop at the end of a part."""
        if run.step in self.stops:
            run.network.backend.synchronize()
            if not self.gate.stop():
                run.stop = "the time is over"


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


class Nnx(Model):
    """A `Network`; it trains by `fit`, or by a loop written by hand."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        self.network = Network.from_config(job["network"] | {"dtype": job["dtype"]}, device=DEVICE)
        reduction, options = job["loss"]["reduction"], job["optimizer"]["options"]
        rate = dict(job["optimizer"]["schedule"])
        schedule = schedules.Schedule.registry[rate.pop("kind")](**rate)
        kind = {"Adam": optimizers.Adam, "SGD": optimizers.SGD}[job["optimizer"]["kind"]]
        loss = losses.Loss.registry[job["loss"]["kind"]]
        self.optimizer: Any = lambda: kind(schedule, **options)
        self.how: dict[str, Any] = {
            "loss": loss(**({} if reduction is None else {"reduction": reduction})),
            "batch_size": job["batch_size"],
        }

    def restore(self) -> None:
        """Set the initial weights and make a new optimizer."""
        self.how["optimizer"] = self.optimizer()
        names = [name for name, _, _ in self.job["layers"]]
        pairs = zip(names, self.weights, strict=True)
        self.network.set_weights(
            {f"{name}.{k}": v for name, pair in pairs for k, v in zip("Wb", pair, strict=True)}
        )

    def step(self, rows: Any) -> float:
        """Train on one batch by a `fit` of one step, so that it runs exactly what `fit` runs."""
        x = self.x if rows is None else self.x[rows]
        y = x if self.y is self.x else self.y if rows is None else self.y[rows]
        how = self.how | {"batch_size": len(x)}
        return float(self.network.fit(x, y, shuffle=False, **how)["loss"][-1])

    def run(self, rows: Sequence[Any]) -> list[Any]:
        """Take so many steps on all rows: one `fit`, or by hand as the README writes it."""
        if not BY_HAND:
            return self.network.fit(self.x, self.y, epochs=len(rows), shuffle=False, **self.how)["loss"][-1:]
        network, loss, optimizer = self.network, self.how["loss"], self.how["optimizer"]
        x, y = network.asarray(self.x), network.asarray(self.y)
        for _ in rows:
            network.backward(loss.gradient(y, network.forward(x, training=True)))
            optimizer.step(network)
        return [float(loss(y, network.forward(x)))]

    def train(self, gate: Gate) -> list[float]:
        """Train by one `fit`."""
        parts, job = Parts(gate, self.job["stops"]), self.job
        history = self.network.fit(self.x, self.y, epochs=job["epochs"], callbacks=[parts], **self.how)
        return list(history["loss"][:: job["keep"]])

    def turns(self, gate: Gate) -> None:
        """Train by one long `fit`, a turn an epoch."""
        job = self.job
        if job["restart"] or job["task"] == "encode":
            super().turns(gate)
            return
        x = self.x[: job["check"] * job["batch_size"]]
        y = x if self.y is self.x else self.y[: len(x)]
        early = self.network.fit(x, y, shuffle=False, **self.how)["loss"][-1]
        turns = Turns(gate, early, self.kernel())
        self.network.fit(self.x, self.y, epochs=2**62, shuffle=job["shuffle"], callbacks=[turns], **self.how)

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Predict by the network, or by its encoder."""
        network = self.network if layers is None else self.network[: self.network.encoder_length]
        return network.predict(x, self.job.get("predict_rows", PREDICT_ROWS))

    def events(self) -> Any:
        """Return CuPy's events on a GPU."""
        if not DEVICE.startswith("gpu"):
            return None
        import cupy

        return Events(cupy.cuda.Event, cupy.cuda.get_elapsed_time)


if __name__ == "__main__":
    backend = resolve(DEVICE)
    about = {
        "device": backend.device, "backend": backend.name, "gpus": int(backend.device != "cpu"),
        "versions": {"nnx": nnx.__version__},
    }  # fmt: skip
    main(Nnx, about)
