"""Keras's side. VARIANT is ``graph`` (Keras's default) or ``xla`` (``jit_compile=True``).

Everything is Keras's own: its layers, losses, optimizers, schedules and train step. Many batches go through
`Model.fit`; the whole of a small set goes through `train_on_batch`, as `fit` takes milliseconds for an epoch
of any size. ``KERAS_BACKEND`` names another engine than TensorFlow.
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

ENGINE = keras.backend.backend()
ENDLESS = 2**40  # steps of an epoch that does not end, as its beginning takes time
LOSSES = {
    "BinaryCrossEntropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    "CategoricalCrossEntropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mean": lambda: keras.losses.MeanSquaredError(),
    "sum_over_features": lambda: lambda y, p: keras.ops.sum(keras.ops.square(p - y), axis=-1),
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


class Turns(keras.callbacks.Callback):  # type: ignore[misc]
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


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when each epoch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches from the host, for engines other than TensorFlow: the rows in order, again and again."""

    def __init__(self, x: HostArray, y: HostArray, order: HostArray, size: int, length: int) -> None:
        super().__init__()
        self.data, self.order, self.size, self.length = (x, y), order, size, length

    def __len__(self) -> int:
        """Count them."""
        return self.length

    def __getitem__(self, index: int) -> tuple[HostArray, HostArray]:
        """Return one."""
        an_epoch = -(-self.order.shape[1] // self.size)
        epoch, batch = divmod(index, an_epoch)
        rows = self.order[epoch % len(self.order), batch * self.size : (batch + 1) * self.size]
        return self.data[0][rows], self.data[1][rows]


def pipeline(job: Job, x: HostArray, y: HostArray, epochs: int | None) -> Any:
    """Return batches in nnx's order: row numbers, gathered and prefetched by tf.data; endless without epochs.

    The fastest of Keras's ways on these jobs: as fast a step as `train_on_batch`, without its work in Python
    for every batch, and faster than `fit` on NumPy arrays, which copies them once more.
    """
    order, size = orders(job, epochs or 1), job["batch_size"]
    if ENGINE != "tensorflow":
        return Batches(x, y, order, size, ENDLESS if epochs is None else epochs * steps_an_epoch(job))
    import tensorflow as tf

    with tf.device("CPU"):
        inputs = tf.constant(x)
        targets = inputs if y is x else tf.constant(y)
        rows = tf.data.Dataset.from_tensor_slices(order)

    def gathered(numbers: Any) -> Any:
        batch = tf.gather(inputs, numbers)
        return batch, batch if targets is inputs else tf.gather(targets, numbers)

    numbers = rows.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(size))
    return (numbers if epochs else numbers.repeat()).map(gathered).prefetch(2)


class Keras(Model):
    """A compiled `Sequential`."""

    def __init__(self, job: Job, weights: list[tuple[HostArray, HostArray]], variant: str) -> None:
        super().__init__(job, weights, variant)
        keras.config.set_floatx(job["dtype"])
        # Keras makes the policy from floatx at the first model and keeps it: without this line, a float32 job
        # after a float64 one would still compute in float64.
        keras.config.set_dtype_policy(job["dtype"])
        activations = [activation for _, _, activation in job["layers"]]
        if self.logits:
            activations[-1] = "linear"
        layers = [
            keras.layers.Dense(units, activation=activation)
            for (_, units, _), activation in zip(job["layers"], activations, strict=True)
        ]
        self.model = keras.Sequential([keras.Input((len(weights[0][0]),)), *layers])
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

    def turns(self, gate: Gate) -> None:
        """Train by one `fit` whose epoch does not end."""
        job = self.job
        if job["restart"] or job["task"] == "encode":
            super().turns(gate)
            return
        batches = pipeline(job, self.x, self.y, None)
        fit = {"verbose": 0, "shuffle": False}
        early = self.model.fit(batches, steps_per_epoch=job["check"], **fit).history["loss"][0]
        turns = Turns(gate, job["turn"], early, self.kernel())
        self.model.fit(batches, steps_per_epoch=ENDLESS, callbacks=[turns], **fit)

    def predict(self, x: HostArray, layers: int | None = None) -> HostArray:
        """Predict by the model, or by a model of its first layers."""
        model, last = self.model, LAST.get(self.job["loss"]["kind"])
        if layers is not None:
            inputs = keras.Input((len(self.weights[0][0]),))
            model, last = keras.Sequential([inputs, *self.model.layers[:layers]]), None
        rows = self.job.get("predict_rows", PREDICT_ROWS)
        found = model.predict(x, batch_size=rows, verbose=0)
        return np.asarray(keras.ops.convert_to_numpy(last(found)) if last else found)

    def kernel(self) -> str:
        """Name the matrix library."""
        if ENGINE != "tensorflow":
            return f"its engine's ({ENGINE})"
        return "XLA's own" if self.variant == "xla" else "Eigen, oneDNN"


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
    clock = Clock()
    worker.model.fit(
        x, y, batch_size=job["batch_size"], epochs=1 + job["epochs"], verbose=0, callbacks=[clock]
    )
    return {"seconds": float(np.median(np.diff(clock.ends)))}


def gpus() -> int:
    """Count the GPUs that the engine sees; without one it would use the CPU and not say so."""
    if ENGINE == "tensorflow":
        import tensorflow as tf

        found: list[Any] = tf.config.list_physical_devices("GPU")
        return len(found)
    if ENGINE == "torch":
        import torch

        return int(torch.cuda.device_count())
    import jax

    return sum(device.platform == "gpu" for device in jax.devices())


def settings() -> dict[str, str]:
    """Give TensorFlow its threads, and TF32 if nnx uses it; return the versions."""
    if ENGINE != "tensorflow":
        return {"keras": keras.__version__}
    import tensorflow as tf

    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf32 = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    tf.config.experimental.enable_tensor_float_32_execution(tf32)  # it is on by default
    return {"keras": keras.__version__, "tensorflow": tf.__version__}


if __name__ == "__main__":
    main(Keras, {"versions": settings(), "gpus": gpus()}, fit_epochs=fit_epochs)
