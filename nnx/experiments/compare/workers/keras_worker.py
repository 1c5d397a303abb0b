"""Keras's side. VARIANT is ``graph`` (Keras's default) or ``xla`` (``jit_compile=True``).

Everything is Keras's own: its layers, losses, optimizers, schedules and train step. Many batches go through
`Model.fit`; the whole of a small set goes through `train_on_batch`, as `fit` takes milliseconds for an epoch
of any size.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

from nnx.experiments.compare.protocol import Gate, HostArray, Job, Line, Store, orders, steps_an_epoch
from nnx.experiments.compare.workers.base import PREDICT_ROWS, Model, main

LOSSES = {
    "BinaryCrossEntropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    "CategoricalCrossEntropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean": lambda: keras.losses.MeanSquaredError(),
    "sum_over_features": lambda: lambda y, p: keras.ops.sum(keras.ops.square(p - y), axis=-1),
}
STACK: dict[str, Any] = {
    "Reshape": lambda one: keras.layers.Reshape(one["shape"]),
    "Conv2D": lambda one: keras.layers.Conv2D(
        one["filters"], one["kernel_size"], one["strides"], one["padding"]
    ),
    "MaxPool2D": lambda one: keras.layers.MaxPooling2D(one["pool_size"], one["strides"], one["padding"]),
    "ReLU": lambda one: keras.layers.ReLU(),
    "Flatten": lambda one: keras.layers.Flatten(),
    "Dense": lambda one: keras.layers.Dense(one["units"]),
    "Softmax": lambda one: keras.layers.Softmax(),
}
LAST = {"BinaryCrossEntropy": keras.ops.sigmoid, "CategoricalCrossEntropy": keras.ops.softmax}


class Parts(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops at the gate after each part, and keeps the mean loss of each epoch."""

    def __init__(self, gate: Gate, stops: list[int]) -> None:
        super().__init__()
        self.gate, self.stops = gate, set(stops)
        self.step = 0
        self.losses: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Everything is ready."""
        self.gate.open()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop at the end of a part."""
        self.step += 1
        if self.step in self.stops:
            float(logs["loss"])  # waits for the device
            if not self.gate.stop():
                self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the mean loss."""
        self.losses.append(float(logs["loss"]))


def pipeline(job: Job, x: HostArray, y: HostArray, epochs: int | None) -> Any:
    """Return batches in nnx's order: row numbers, gathered and prefetched by tf.data; endless without epochs.

    The fastest of Keras's ways on these jobs: as fast a step as `train_on_batch`, without its work in Python
    for every batch, and faster than `fit` on NumPy arrays, which copies them once more.
    """
    import tensorflow as tf

    order, size = orders(job, epochs or 1), job["batch_size"]
    with tf.device("CPU"):
        inputs = tf.constant(x)
        targets = inputs if y is x else tf.constant(y)
        rows = tf.data.Dataset.from_tensor_slices(order)

    def gathered(numbers: Any) -> Any:
        batch = tf.gather(inputs, numbers)
        return batch, batch if targets is inputs else tf.gather(targets, numbers)

    numbers = rows.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(size))
    return (numbers if epochs else numbers.repeat()).map(gathered).prefetch(2)


def layers(job: Job, logits: bool) -> list[Any]:
    """Return Keras's layers; with `logits`, without the last activation."""
    if "stack" in job:
        return [STACK[one["kind"]](one) for one in job["stack"][: -1 if logits else None]]
    activations = [activation for _, _, activation in job["layers"]]
    if logits:
        activations[-1] = "linear"
    return [
        keras.layers.Dense(units, activation=activation)
        for (_, units, _), activation in zip(job["layers"], activations, strict=True)
    ]


class Keras(Model):
    """A compiled `Sequential`."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        keras.config.set_floatx(self.dtype)
        # Keras makes the policy from floatx at the first model and keeps it: without this line, a float32 job
        # after a float64 one would still compute in float64.
        keras.config.set_dtype_policy("mixed_bfloat16" if self.rounds else self.dtype)
        self.model = keras.Sequential([keras.Input((job["inputs"],)), *layers(job, self.logits)])
        loss: Any = LOSSES[job["loss"]["reduction"] or job["loss"]["kind"]]
        self.model.compile(optimizer=optimizer(job), loss=loss(), jit_compile=variant == "xla")

    def place(self, x: HostArray, y: HostArray) -> None:
        """Keep the arrays; those of a set that is one batch as tensors."""
        super().place(x, y)
        if self.job["batch_size"] == self.job["rows"]:
            self.x, self.y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)

    def restore(self) -> None:
        """Set the initial weights; jobs that restart use SGD, which has no state."""
        self.model.set_weights([part for pair in self.weights for part in pair])

    def step(self, rows: Any) -> Any:
        """Call `train_on_batch`."""
        x, y = self.x, self.y
        if rows is not None:
            x = keras.ops.convert_to_tensor(self.x[rows])
            y = x if self.y is self.x else keras.ops.convert_to_tensor(self.y[rows])
        return self.model.train_on_batch(x, y)

    def train(self, gate: Gate) -> list[float]:
        """Train by one `fit` on a pipeline."""
        job = self.job
        if job["batch_size"] == job["rows"]:
            return super().train(gate)
        parts = Parts(gate, job["stops"])
        batches = pipeline(job, self.x, self.y, job["epochs"])
        self.model.fit(
            batches, epochs=job["epochs"], steps_per_epoch=steps_an_epoch(job), verbose=0, shuffle=False,
            callbacks=[parts],
        )  # fmt: skip
        return parts.losses[:: job["keep"]]

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Predict by the model, or by a model of its first layers."""
        model, last = self.model, LAST.get(self.job["loss"]["kind"])
        if layers is not None:
            inputs = keras.Input((self.job["inputs"],))
            model, last = keras.Sequential([inputs, *self.model.layers[:layers]]), None
        rows = self.job.get("predict_rows", PREDICT_ROWS)
        found = model.predict(x, batch_size=rows, verbose=0).astype(self.dtype)  # they may be bfloat16
        return np.asarray(keras.ops.convert_to_numpy(last(found)) if last else found)


def optimizer(job: Job) -> Any:
    """Return Keras's optimizer and schedule for nnx's.

    If they are Python floats, Keras rounds β₁, β₂ and a schedule's learning rate to float32, whatever the
    model computes in (``ops.cast``): 1 − β₂ is then off by 1e-5. As float64 scalars they stay exact.
    """
    scalar: Any = np.float64 if job["dtype"] == "float64" else float
    rate, options = job["optimizer"]["schedule"], job["optimizer"]["options"]
    schedule = scalar(rate["learning_rate"])
    if rate["kind"] == "Cosine":
        schedule = keras.optimizers.schedules.CosineDecay(schedule, rate["steps"])
    if job["optimizer"]["kind"] == "SGD":
        return keras.optimizers.SGD(schedule)
    beta1, beta2 = scalar(options["beta1"]), scalar(options["beta2"])
    return keras.optimizers.Adam(schedule, beta_1=beta1, beta_2=beta2, epsilon=options["epsilon"])


def fit_epochs(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Return the median seconds of an epoch of `fit` on the whole of a small set, after one that compiles."""
    worker = Keras(job, store.weights(job), sys.argv[2])
    worker.restore()
    x, y = store.data(job)
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    epochs = 1 + job["epochs"]
    worker.model.fit(x, y, batch_size=job["batch_size"], epochs=epochs, verbose=0, callbacks=[clock])
    return {"seconds": float(np.median(np.diff(ends)))}


def about() -> dict[str, Any]:
    """Give TensorFlow its threads, and TF32 if nnx uses it; return the versions, and the GPUs it sees."""
    import tensorflow as tf

    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf32 = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    tf.config.experimental.enable_tensor_float_32_execution(tf32)  # it is on by default
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {"versions": versions, "gpus": len(tf.config.list_physical_devices("GPU"))}


if __name__ == "__main__":
    main(Keras, about(), fit_epochs=fit_epochs)
