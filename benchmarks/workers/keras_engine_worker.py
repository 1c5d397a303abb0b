"""Keras's turns on a GPU: VARIANT is its engine. Batches come from the host, as any engine takes them."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["KERAS_BACKEND"] = ENGINE = sys.argv[2]

import keras
from keras_model import build
from protocol import Gate, weights


class Batches(keras.utils.PyDataset):
    """The rows in order, again and again: an epoch that does not end, as its beginning costs time."""

    def __init__(self, x: Any, y: Any, batch: int, length: int) -> None:
        super().__init__()
        self.x, self.y, self.batch, self.length = x, y, batch, length

    def __len__(self) -> int:
        """How many there are."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """One of them."""
        first = index * self.batch % len(self.x)
        rows = slice(first, first + self.batch)
        return self.x[rows], self.y[rows]


class Turns(keras.callbacks.Callback):
    """Ends a turn after so many steps of one running `fit`."""

    def __init__(self, gate: Gate, early: float) -> None:
        super().__init__()
        self.gate, self.early = gate, early

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Tell the time and the mean loss since the last turn, whose reading waits for the device."""
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
    """Whether the engine would compute on one; it would take the CPU in silence."""
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
