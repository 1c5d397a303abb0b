"""Run Keras in turns on a GPU: VARIANT is its engine. Batches come from the host, as for any engine."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["KERAS_BACKEND"] = ENGINE = sys.argv[2]

import keras
from keras_model import build
from protocol import Gate, weights


class Batches(keras.utils.PyDataset):
    """The rows in order, repeated without end in one epoch, as starting an epoch costs time."""

    def __init__(self, x: Any, y: Any, batch: int, length: int) -> None:
        super().__init__()
        self.x, self.y, self.batch, self.length = x, y, batch, length

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return one batch."""
        first = index * self.batch % len(self.x)
        rows = slice(first, first + self.batch)
        return self.x[rows], self.y[rows]


class Turns(keras.callbacks.Callback):
    """End a turn after some steps of one running `fit`."""

    def __init__(self, gate: Gate, early: float) -> None:
        super().__init__()
        self.gate, self.early = gate, early

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report the time and the mean loss since the last turn; reading the loss waits for the device."""
        turn, rest = divmod(batch + 1, self.gate.job["steps"])
        if rest:
            return
        loss = float(logs["loss"])
        if turn == 1:
            self.gate.ready(self.early, version=f"{keras.__version__} on {ENGINE}", kernel="its engine's")
        else:
            self.gate.stop(loss)
        self.model.reset_metrics()


def sees_a_gpu() -> bool:
    """Return whether the engine would compute on a GPU; without one it silently uses the CPU."""
    if ENGINE == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if ENGINE == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import jax

    return jax.default_backend() == "gpu"


def main() -> None:
    """Train in turns."""
    gate = Gate()
    if os.environ.get("NNX_BENCHMARK_DEVICE") == "cuda" and not sees_a_gpu():
        raise SystemExit(f"{ENGINE} sees no GPU")
    job, arrays = gate.job, gate.arrays()
    model, x, y = build(gate, weights(arrays)), arrays["x"], arrays["y"]
    first = Batches(x, y, job["batch"], job["check"])
    early = model.fit(first, shuffle=False, verbose=0).history["loss"][0]
    endless = Batches(x, y, job["batch"], 1_000_000)
    model.fit(endless, shuffle=False, verbose=0, callbacks=[Turns(gate, early)])


if __name__ == "__main__":
    main()
