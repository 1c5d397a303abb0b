"""Build a job's network as a Keras model, on any engine of Keras."""

from __future__ import annotations

import keras
import numpy as np
from protocol import Gate


def build(gate: Gate, values: list[tuple[np.ndarray, np.ndarray]]) -> keras.Sequential:
    """Return the compiled model with the job's weights."""
    job = gate.job
    activations = list(job["activations"])
    if job["loss"] in ("binary_cross_entropy", "categorical_cross_entropy"):
        activations[-1] = "linear"  # from_logits: the fused form that nnx's `fit` also uses
    dense = [
        keras.layers.Dense(W.shape[1], activation=kind)
        for (W, _), kind in zip(values, activations, strict=True)
    ]
    model = keras.Sequential([keras.Input((len(values[0][0]),)), *dense])
    losses = {
        "binary_cross_entropy": keras.losses.BinaryCrossentropy(from_logits=True),
        "categorical_cross_entropy": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "squared_error": keras.losses.MeanSquaredError(),
        "squared_error_sum": lambda y, p: keras.ops.sum(keras.ops.square(p - y), axis=-1),
    }
    adam = keras.optimizers.Adam(job["rate"], epsilon=job["epsilon"])
    model.compile(
        optimizer=adam if job["optimizer"] == "adam" else keras.optimizers.SGD(job["rate"]),
        loss=losses.get(job["loss"]),
        jit_compile=gate.variant == "xla",
    )
    restore(model, values)
    return model


def restore(model: keras.Sequential, values: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the initial weights."""
    model.set_weights([part for pair in values for part in pair])
