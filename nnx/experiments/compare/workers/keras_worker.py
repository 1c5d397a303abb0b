"""Keras's side of the comparison: ``python -m nnx.experiments.compare.keras_worker FOLDER graph|xla``.

Everything is Keras's own: its layers, losses, optimizers, schedules and train step. A final sigmoid before a
cross-entropy is left to ``from_logits=True``, the fused form that nnx's `fit` uses as well.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from nnx.experiments.compare.protocol import Gate, HostArray, Job, Line, Store, batches, orders, serve

JIT = sys.argv[2:] == ["xla"]
ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
PREDICT_ROWS = 1024


def build(store: Store, job: Job) -> tuple[Any, int | None]:
    """The compiled model with the job's weights, and how many of its layers encode."""
    keras.config.set_floatx(job["dtype"])
    # The policy is made from floatx at the first model and then kept: without this line a float32 job that
    # follows a float64 one would still compute in float64.
    keras.config.set_dtype_policy(job["dtype"])
    layers: list[Any] = []
    code = None
    for position, layer in enumerate(job["network"]["layers"]):
        if position == job["network"]["code"]:
            code = len(layers)
        if layer["kind"] == "Dense":
            layers.append(keras.layers.Dense(layer["config"]["units"]))
        else:
            layers[-1].activation = keras.activations.get(ACTIVATIONS[layer["kind"]])
    logits = job["loss"]["kind"] == "BinaryCrossEntropy"
    if logits:
        layers[-1].activation = keras.activations.linear
    model = keras.Sequential([keras.Input((job["network"]["inputs"],)), *layers])
    values = store.weights(job)
    names = [f"dense_{i + 1}" for i in range(len(layers))]
    model.set_weights([values[f"{name}.{part}"] for name in names for part in ("W", "b")])
    model.compile(optimizer=optimizer(job), loss=loss(job), jit_compile=JIT)
    return model, code


def loss(job: Job) -> Any:
    """Keras's loss for nnx's."""
    if job["loss"]["kind"] == "BinaryCrossEntropy":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if job["loss"]["reduction"] != "sum_over_features":
        return keras.losses.MeanSquaredError()
    return lambda y, p: keras.ops.sum(keras.ops.square(p - y), axis=-1)


def optimizer(job: Job) -> Any:
    """Keras's optimizer and schedule for nnx's.

    Where they are Python floats, Keras rounds β₁, β₂ and a schedule's learning rate to float32, whatever the
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


def steps(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """The loss of each step, by `train_on_batch`."""
    model, _ = build(store, job)
    x, y = store.data(job)
    found, seconds = [], []
    for rows in batches(job):
        batch, target = tf.constant(x[rows]), tf.constant(y[rows])
        began = time.perf_counter()
        found.append(float(model.train_on_batch(batch, target)))
        seconds.append(time.perf_counter() - began)
    return {"arrays": store.write(job["out"], losses=np.array(found)), "seconds": float(np.median(seconds))}


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
        """Stop, where a part ends."""
        self.step += 1
        if self.step in self.stops:
            float(logs["loss"])  # waits for the device
            if not self.gate.stop():
                self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the mean loss."""
        self.losses.append(float(logs["loss"]))


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when each epoch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def pipeline(job: Job, x: HostArray) -> Any:
    """An autoencoder's batches: row numbers in nnx's order, gathered and prefetched by tf.data.

    The fastest of Keras's ways on this job: as fast a step as `train_on_batch`, without its work in Python
    for every batch, and faster than `fit` on NumPy arrays, which copies them once more.
    """
    with tf.device("CPU"):
        images = tf.constant(x)
        rows = tf.data.Dataset.from_tensor_slices(orders(job, job["epochs"]))

    def gathered(numbers: Any) -> Any:
        batch = tf.gather(images, numbers)
        return batch, batch

    numbers = rows.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(job["batch_size"]))
    return numbers.map(gathered).prefetch(2)


def fit(model: Any, line: Line, store: Store, job: Job) -> list[float]:
    """Train by `fit` on a tf.data pipeline; the mean loss of each epoch."""
    parts = Parts(Gate(line), job["stops"])
    x, _ = store.data(job)
    model.fit(
        pipeline(job, x), epochs=job["epochs"], steps_per_epoch=-(-job["rows"] // job["batch_size"]),
        verbose=0, shuffle=False, callbacks=[parts],
    )  # fmt: skip
    return parts.losses


def by_hand(model: Any, line: Line, store: Store, job: Job) -> list[float]:
    """Train by `train_on_batch` on the whole of a small set; the losses to keep."""
    x, y = (tf.constant(array) for array in store.data(job))
    gate, kept, stops = Gate(line), [], set(job["stops"])
    gate.open()
    for epoch in range(job["epochs"]):
        value = float(model.train_on_batch(x, y))
        if epoch % job["keep"] == 0:
            kept.append(value)
        if epoch + 1 in stops and not gate.stop():
            break
    return kept


def train(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """Train for all epochs, in parts; then predict, and encode where there is a code."""
    model, code = build(store, job)
    full_batch = job["batch_size"] == job["rows"]
    losses = (by_hand if full_batch else fit)(model, line, store, job)
    test = store.array(job["test"], job["dtype"])
    predictions = predict(model, test)
    if job["loss"]["kind"] == "BinaryCrossEntropy":
        predictions = np.asarray(keras.ops.sigmoid(predictions))
    arrays = {"losses": np.array(losses), "predictions": predictions}
    if job["codes"]:
        encoder = keras.Sequential([keras.Input((job["network"]["inputs"],)), *model.layers[:code]])
        arrays["codes"] = predict(encoder, store.array(job["x"], job["dtype"]))
        arrays["test_codes"] = predict(encoder, test)
    return {"arrays": store.write(job["out"], **arrays)}


def predict(model: Any, x: HostArray) -> HostArray:
    """The model's output for host data."""
    return np.asarray(model.predict(x, batch_size=PREDICT_ROWS, verbose=0))


def fit_epochs(line: Line, store: Store, job: Job) -> dict[str, Any]:
    """The median seconds of an epoch of `fit` on the whole of a small set, after one that compiles."""
    model, _ = build(store, job)
    x, y = store.data(job)
    clock = Clock()
    model.fit(x, y, batch_size=job["batch_size"], epochs=1 + job["epochs"], verbose=0, callbacks=[clock])
    return {"seconds": float(np.median(np.diff(clock.ends)))}


def main() -> None:
    """Serve the parent."""
    line = Line()
    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf32 = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    tf.config.experimental.enable_tensor_float_32_execution(tf32)  # as nnx; by itself it would be on
    about = {
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
    }
    serve(Path(sys.argv[1]), {"steps": steps, "train": train, "fit_epochs": fit_epochs}, about, line)


if __name__ == "__main__":
    main()
