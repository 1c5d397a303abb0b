"""Run Keras in turns on TensorFlow: VARIANT is ``graph`` (the default) or ``xla`` (``jit_compile=True``).

Many batches go through `Model.fit`, on a tf.data pipeline that gathers and prefetches. A small data set in
one batch goes through `train_on_batch`, since `fit` needs milliseconds for each epoch.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras_model import build, restore
from protocol import Gate, take_turns, weights


class Turns(keras.callbacks.Callback):
    """End a turn after some steps of one running `fit`."""

    def __init__(self, gate: Gate, early: float, about: dict[str, str]) -> None:
        super().__init__()
        self.gate, self.early, self.about = gate, early, about

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report the time and the mean loss since the last turn."""
        turn, rest = divmod(batch + 1, self.gate.job["steps"])
        if rest:
            return
        loss = float(logs["loss"])  # waits for the device
        if turn == 1:
            self.gate.ready(self.early, **self.about)
        else:
            self.gate.stop(loss)
        self.model.reset_metrics()


def pipeline(x: np.ndarray, y: np.ndarray, batch: int) -> tf.data.Dataset:
    """Return a pipeline of row numbers in order, repeated for ever, with rows gathered and prefetched."""
    inputs = tf.constant(x)
    targets = inputs if y is x else tf.constant(y)

    def gathered(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        taken = tf.gather(inputs, rows)
        return taken, taken if targets is inputs else tf.gather(targets, rows)

    return tf.data.Dataset.range(len(x)).repeat().batch(batch).map(gathered).prefetch(2)


def main() -> None:
    """Train, or predict, in turns."""
    gate = Gate()
    tf.config.threading.set_intra_op_parallelism_threads(gate.threads)
    tf.config.threading.set_inter_op_parallelism_threads(gate.threads)
    job, arrays = gate.job, gate.arrays()
    values = weights(arrays)
    model = build(gate, values)
    about = {
        "version": f"{keras.__version__} on TensorFlow {tf.__version__}",
        "kernel": "XLA's own" if gate.variant == "xla" else "Eigen, oneDNN",
    }
    x = arrays["x"]
    if job["task"] == "predict":

        def predict(_: int) -> float:
            return float(np.abs(model.predict(x, batch_size=job["batch"], verbose=0)).mean())

        take_turns(gate, predict, **about)
    y = x if job["target"] == "x" else arrays["y"]
    if not job["restart"]:
        batches = pipeline(x, y, job["batch"])
        history = model.fit(batches, steps_per_epoch=job["check"], verbose=0).history
        turns = Turns(gate, history["loss"][0], about)
        model.fit(batches, steps_per_epoch=2**40, callbacks=[turns], verbose=0)
    inputs, targets = tf.constant(x), tf.constant(y)

    def turn(steps: int) -> float:
        restore(model, values)
        for _ in range(steps):
            loss = model.train_on_batch(inputs, targets)
        model.reset_metrics()
        return float(loss)

    take_turns(gate, turn, **about)


if __name__ == "__main__":
    main()
