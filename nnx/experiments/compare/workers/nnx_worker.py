"""nnx's side, by `Network.fit`. VARIANT is a device."""

from __future__ import annotations

import sys
from typing import Any

import nnx
from nnx import Network, losses, optimizers, schedules
from nnx.backends import resolve
from nnx.callbacks import Callback, Run
from nnx.experiments.compare.protocol import Gate, HostArray, Job
from nnx.experiments.compare.workers.base import PREDICT_ROWS, Model, main


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


class Nnx(Model):
    """A `Network`; every way to train goes through `fit`."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        self.network = Network.from_config(job["network"] | {"dtype": job["dtype"]}, device=variant)
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

    def train(self, gate: Gate) -> list[float]:
        """Train by one `fit`."""
        parts, job = Parts(gate, self.job["stops"]), self.job
        history = self.network.fit(self.x, self.y, epochs=job["epochs"], callbacks=[parts], **self.how)
        return list(history["loss"][:: job["keep"]])

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Predict by the network, or by its encoder."""
        network = self.network if layers is None else self.network[: self.network.encoder_length]
        return network.predict(x, self.job.get("predict_rows", PREDICT_ROWS))


def about(device: str) -> dict[str, Any]:
    """Return what the parent must know: the device that computes, and the version."""
    backend = resolve(device)
    return {
        "device": backend.device, "backend": backend.name, "gpus": int(backend.device != "cpu"),
        "versions": {"nnx": nnx.__version__},
    }  # fmt: skip


if __name__ == "__main__":
    main(Nnx, about(sys.argv[2]))
