"""Run Keras in turns. VARIANT is ``graph`` or ``xla``; ``KERAS_BACKEND`` names the engine."""

from __future__ import annotations

from typing import Any

from turns import InTurns, main

from nnx.experiments.compare.protocol import Gate, HostArray, orders
from nnx.experiments.compare.workers import keras_worker

keras = keras_worker.keras
ENGINE = keras.backend.backend()
ENDLESS = 2**40  # steps of an epoch that does not end, as its beginning takes time


class Turns(keras.callbacks.Callback):
    """Stops at the gate after so many steps of one endless epoch; the first turn warms up."""

    def __init__(self, gate: Gate, steps: int, early: float, kernel: str) -> None:
        super().__init__()
        self.gate, self.steps, self.first = gate, steps, {"loss": early, "kernel": kernel}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report the time and the mean loss since the last turn."""
        turn, rest = divmod(batch + 1, self.steps)
        if rest:
            return
        loss = float(logs["loss"])  # waits for the device
        if not (self.gate.open(**self.first) if turn == 1 else self.gate.stop(loss=loss)):
            self.model.stop_training = True
        self.model.reset_metrics()


class Batches(keras.utils.PyDataset):
    """Batches from the host, for engines other than TensorFlow: the rows in order, again and again."""

    def __init__(self, x: HostArray, y: HostArray, order: HostArray, size: int) -> None:
        super().__init__()
        self.data, self.order, self.size = (x, y), order, size

    def __len__(self) -> int:
        """Count them."""
        return ENDLESS

    def __getitem__(self, index: int) -> tuple[HostArray, HostArray]:
        """Return one."""
        batch = index % -(-len(self.order) // self.size)
        rows = self.order[batch * self.size : (batch + 1) * self.size]
        return self.data[0][rows], self.data[1][rows]


class Keras(InTurns, keras_worker.Keras):
    """A compiled `Sequential`."""

    def turns(self, gate: Gate) -> None:
        """Train by one `fit` whose epoch does not end."""
        job = self.job
        if job["restart"] or job["task"] == "encode":
            super().turns(gate)
            return
        if ENGINE == "tensorflow":
            batches = keras_worker.pipeline(job, self.x, self.y, None)
        else:
            batches = Batches(self.x, self.y, orders(job, 1)[0], job["batch_size"])
        fit = {"verbose": 0, "shuffle": False}
        early = self.model.fit(batches, steps_per_epoch=job["check"], **fit).history["loss"][0]
        turns = Turns(gate, job["turn"], early, self.kernel())
        self.model.fit(batches, steps_per_epoch=ENDLESS, callbacks=[turns], **fit)

    def kernel(self) -> str:
        """Name the matrix library."""
        if ENGINE != "tensorflow":
            return f"its engine's ({ENGINE})"
        return "XLA's own" if self.variant == "xla" else "Eigen, oneDNN"


def about() -> dict[str, Any]:
    """Return the versions, and the GPUs that the engine sees; without one it would use the CPU silently."""
    if ENGINE == "tensorflow":
        return keras_worker.about()
    if ENGINE == "torch":
        import torch

        gpus = int(torch.cuda.device_count())
    else:
        import jax

        gpus = sum(device.platform == "gpu" for device in jax.devices())
    return {"versions": {"keras": keras.__version__}, "gpus": gpus}


if __name__ == "__main__":
    main(Keras, about())
