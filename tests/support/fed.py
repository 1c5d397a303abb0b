"""Autoencoders and the data that they are trained on."""

from __future__ import annotations

import numpy as np

import nnx

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (300, 24), dtype=np.uint8)


def autoencoder(device="numpy", dtype="float32", width=8):
    layers = [nnx.Dense(24, width), nnx.ReLU(), nnx.Dense(24), nnx.Sigmoid()]
    return nnx.Network(layers, device=device, dtype=dtype, seed=0)


def floats(dtype="float32", divisor=255):
    return np.divide(PIXELS, divisor, dtype=dtype)


def fit(network, x, y=None, **options):
    """Parameters and history after three epochs of batches of 32; the last has 12 rows."""
    defaults = {"loss": nnx.BinaryCrossEntropy(), "optimizer": nnx.Adam(0.01), "epochs": 3, "batch_size": 32}
    history = network.fit(x, x if y is None else y, **(defaults | options))
    return network.weights(), history
