"""Keras's turns on a GPU: VARIANT is its engine. `fit` with arrays, an epoch a turn."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["KERAS_BACKEND"] = ENGINE = sys.argv[2]

import keras
from keras_model import build
from protocol import Gate, weights


class Turns(keras.callbacks.Callback):
    """Ends a turn after each epoch of one running `fit`."""

    def __init__(self, gate: Gate, early: float) -> None:
        super().__init__()
        self.gate, self.early = gate, early

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tell the time and the epoch's mean loss, whose reading waits for the device."""
        loss = float(logs["loss"])
        if epoch:
            self.gate.stop(loss)
        else:
            self.gate.ready(self.early, version=f"{keras.__version__} on {ENGINE}", kernel="its engine's")


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
    how = {"batch_size": job["batch"], "shuffle": False, "verbose": 0}
    first = slice(job["check"] * job["batch"])
    early = model.fit(x[first], y[first], **how).history["loss"][0]
    model.fit(x, y, epochs=2**40, callbacks=[Turns(gate, early)], **how)


if __name__ == "__main__":
    main()
