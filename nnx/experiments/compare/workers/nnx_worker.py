"""nnx's side of the comparison: ``python -m nnx.experiments.compare.nnx_worker FOLDER DEVICE``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import nnx
from nnx import Network, losses, optimizers, schedules
from nnx.backends import resolve
from nnx.callbacks import Callback, Run
from nnx.experiments.compare.protocol import Gate, Job, Line, Store, batches, serve

DEVICE = sys.argv[2] if len(sys.argv) > 2 else "cpu"


def build(store: Store, job: Job) -> tuple[Network, dict[str, Any]]:
    """The network with the job's weights, and its loss and optimizer as `fit` takes them."""
    network = Network.from_config(job["network"] | {"dtype": job["dtype"]}, device=DEVICE)
    network.set_weights(store.weights(job))
    loss = losses.Loss.registry[job["loss"]["kind"]]
    options = {} if job["loss"]["reduction"] is None else {"reduction": job["loss"]["reduction"]}
    rate = dict(job["optimizer"]["schedule"])
    schedule = schedules.Schedule.registry[rate.pop("kind")](**rate)
    kind = {"Adam": optimizers.Adam, "SGD": optimizers.SGD}[job["optimizer"]["kind"]]
    optimizer = kind(schedule, **job["optimizer"]["options"])
    return network, {"loss": loss(**options), "optimizer": optimizer}


def steps(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """The loss of each step. Every step is a `fit` of its own, so that it runs exactly what `fit` runs."""
    network, how = build(store, job)
    x, y = store.data(job)
    found, seconds = [], []
    for rows in batches(job):
        batch = x[rows]
        target = batch if y is x else y[rows]
        began = time.perf_counter()
        history = network.fit(batch, target, batch_size=len(rows), shuffle=False, **how)
        seconds.append(time.perf_counter() - began)
        found.append(history["loss"][-1])
    return {"arrays": store.write(job["out"], losses=np.array(found)), "seconds": float(np.median(seconds))}


class Parts(Callback):
    """Stops at the gate after each part."""

    def __init__(self, gate: Gate, stops: list[int]) -> None:
        self.gate, self.stops = gate, set(stops)

    def on_train_begin(self, run: Run) -> None:
        """Everything is ready."""
        self.gate.open()

    def on_step_end(self, run: Run) -> None:
        """Stop, where a part ends."""
        if run.step in self.stops:
            run.network.backend.synchronize()
            if not self.gate.stop():
                run.stop = "the time is over"


def train(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Train for all epochs, in parts; then predict, and encode where there is a code."""
    network, how = build(store, job)
    x, y = store.data(job)
    parts = Parts(Gate(line), job["stops"])
    history = network.fit(x, y, epochs=job["epochs"], batch_size=job["batch_size"], callbacks=[parts], **how)
    test = store.array(job["test"], job["dtype"])
    arrays = {"losses": np.array(history["loss"][:: job["keep"]]), "predictions": network.predict(test)}
    if job["codes"]:
        encoder = network[: network.code]
        arrays["codes"] = encoder.predict(store.array(job["x"], job["dtype"]))
        arrays["test_codes"] = encoder.predict(test)
    return {"arrays": store.write(job["out"], **arrays)}


def main() -> None:
    """Serve the parent."""
    line = Line()
    backend = resolve(DEVICE)
    about = {"device": backend.device, "backend": backend.name, "versions": {"nnx": nnx.__version__}}
    serve(Path(sys.argv[1]), {"steps": steps, "train": train}, about, line)


if __name__ == "__main__":
    main()
