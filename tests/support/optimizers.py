"""Optimizers, and networks whose gradients are known."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.backends import Backend

START = np.array([[0.5, -1.0], [2.0, 0.25]])
GRADIENT = np.array([[0.1, -2.0], [1e-3, 30.0]])
ALL = [
    nnx.SGD, nnx.Adam, nnx.AdamW, nnx.RMSprop, nnx.Adagrad,
    lambda *a, **k: nnx.SGD(*a, momentum=0.9, **k), lambda *a, **k: nnx.RMSprop(*a, momentum=0.9, **k),
]  # fmt: skip
IDS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "SGD-momentum", "RMSprop-momentum"]
every_optimizer = pytest.mark.parametrize("make", ALL, ids=IDS)


def network_of(backend: Backend, layers: int = 1) -> nnx.Network:
    """`layers` maps of two numbers to two, W at START and b at zero."""
    network = nnx.Network([nnx.Dense(2, 2) for _ in range(layers)], device=backend, dtype="float64", seed=0)
    for layer in network.layers:
        layer.W[...] = backend.asarray(START)
        layer.dW[...] = backend.asarray(GRADIENT)
    return network


def steps(backend: Backend, optimizer: nnx.Optimizer, count: int = 1) -> np.ndarray:
    """W after `count` steps with the same gradient."""
    network = network_of(backend)
    for _ in range(count):
        optimizer.step(network)
    return backend.to_numpy(network.layers[0].W)
