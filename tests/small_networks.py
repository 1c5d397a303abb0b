"""Small networks and data that several test modules train."""

from __future__ import annotations

import numpy as np

import nnx

RNG = np.random.default_rng(7)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = RNG.normal(size=(12, 2)).astype(np.float32)

OPTIMIZERS = {
    "sgd": lambda: nnx.SGD(0.1),
    "momentum": lambda: nnx.SGD(0.1, momentum=0.9),
    "nesterov": lambda: nnx.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: nnx.Adam(0.01, l2=0.1, clip_norm=1.0, clip_value=0.5),
    "adamw": lambda: nnx.AdamW(0.01),
    "rmsprop": lambda: nnx.RMSprop(0.01, momentum=0.9),
    "adagrad": lambda: nnx.Adagrad(0.1),
}


def small(**options):
    layers = [nnx.Dense(3, 5), nnx.Tanh(), nnx.Dense(4), nnx.ReLU(), nnx.Dense(2)]
    return nnx.Network(layers, device="cpu", **{"seed": 0, **options})


def every_layer(**options):
    return nnx.Network(
        [
            nnx.Dense(3, 8), nnx.BatchNorm(), nnx.GELU(), nnx.Dropout(0.3), nnx.Dense(8), nnx.LayerNorm(),
            nnx.LeakyReLU(0.2), nnx.Dense(6), nnx.Softmax(),
        ],
        device="cpu", **{"seed": 0, **options},
    )  # fmt: skip


def train(network, optimizer=None, x=X, y=Y, **options):
    defaults = {"loss": nnx.MeanSquaredError(), "epochs": 3, "batch_size": 5}
    return network.fit(x, y, optimizer=optimizer or nnx.Adam(0.01), **(defaults | options))


def same_bytes(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), name
