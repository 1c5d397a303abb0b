"""Networks that are large enough for several threads."""

from __future__ import annotations

import json

import numpy as np

import nnx


def numbers(device: str, seed: int, width: int = 96) -> bytes:
    """What comes of a training in which the kernels' threads take part: parameters and losses."""
    rng = np.random.default_rng(seed)
    x = rng.random((512, width), dtype=np.float32)
    layers = [nnx.Dense(width, 256), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(width),
              nnx.Sigmoid()]  # fmt: skip
    network = nnx.Network(layers, device=device, seed=seed)
    history = network.fit(
        x,
        x,
        loss=nnx.BinaryCrossEntropy(),
        optimizer=nnx.Adam(1e-3),
        epochs=3,
        batch_size=128,
        validation=0.25,
    )
    told = json.dumps(history.metrics).encode()
    return b"".join(value.tobytes() for value in network.weights().values()) + told


def trained(seed: int = 0) -> bytes:
    """The bytes of a network large enough for a team, after some steps."""
    x = np.random.default_rng(5).random((400, 120), dtype=np.float32)
    layers = [nnx.Dense(120, 200), nnx.ReLU(), nnx.Dense(30), nnx.Dense(120), nnx.Sigmoid()]
    network = nnx.Network(layers, seed=seed, device="numba")
    network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=3, batch_size=150)
    return bytes(network.arena.values.tobytes()) + network.predict(x).tobytes()
