"""Compare nnx with Keras: the same autoencoder, initial weights and batches, so the same losses.

Run it:  python examples/compare.py [STEPS] (needs TensorFlow: pip install 'nnx-arrays[compare]')

Both run in one process here, so the printed times are only a first impression. ``nnx run compare`` measures
each in a separate process, several times.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import nnx
from nnx import datasets

HIDDEN, CODE, BATCH = 128, 64, 256


def keras_model(features: int, weights: list[np.ndarray]):
    """Return the same network in Keras, with nnx's weights: its kernels are also of shape (inputs, units)."""
    import keras

    def dense(units: int, activation: str) -> keras.layers.Layer:
        return keras.layers.Dense(units, activation=activation)

    model = keras.Sequential(
        [
            keras.Input((features,)), dense(HIDDEN, "relu"), dense(CODE, "linear"), dense(HIDDEN, "relu"),
            dense(features, "sigmoid"),
        ]
    )  # fmt: skip
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    model.set_weights(weights)
    return model


def main(steps: int = 50) -> None:
    x = datasets.load("auto", on_fallback=print).x_train
    network = nnx.Network(
        [
            nnx.Dense(x.shape[1], HIDDEN), nnx.ReLU(), nnx.Dense(CODE), nnx.Dense(HIDDEN), nnx.ReLU(),
            nnx.Dense(x.shape[1]), nnx.Sigmoid(),
        ],
        seed=0,
    )  # fmt: skip
    model = keras_model(x.shape[1], list(network.weights().values()))
    order = np.random.default_rng(0).integers(0, len(x), (steps, BATCH))

    loss, optimizer = nnx.BinaryCrossEntropy(), nnx.Adam(1e-3)

    def nnx_step(batch: np.ndarray) -> float:
        history = network.fit(batch, batch, loss=loss, optimizer=optimizer, batch_size=BATCH, shuffle=False)
        return history["loss"][0]

    def keras_step(batch: np.ndarray) -> float:
        model.reset_metrics()  # otherwise train_on_batch returns the mean over all batches so far
        return float(model.train_on_batch(batch, batch))

    losses = {}
    for name, step in (("nnx", nnx_step), ("Keras", keras_step)):
        step_losses = [step(x[order[0]])]  # the first step allocates or compiles, so it is not timed
        began = time.perf_counter()
        step_losses += [step(x[rows]) for rows in order[1:]]
        milliseconds = (time.perf_counter() - began) / max(steps - 1, 1) * 1e3
        losses[name] = np.array(step_losses)
        print(f"{name:6s} loss {step_losses[0]:.6f} → {step_losses[-1]:.6f}, {milliseconds:.1f} ms a step")

    difference = np.max(np.abs(losses["nnx"] / losses["Keras"] - 1.0))
    print(f"largest relative difference of the losses over {steps} steps: {difference:.1e}")
    assert difference < 1e-3, "the two do not compute the same"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
