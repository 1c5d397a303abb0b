"""Runs that are killed at a step and resumed, to compare with uninterrupted ones."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from support.small_networks import same_bytes

RNG = np.random.default_rng(5)
X = RNG.normal(size=(61, 6)).astype(np.float32)
Y = np.tanh(X @ RNG.normal(size=(6, 3)).astype(np.float32))
BATCHES = 8  # of 8 rows, the last of 5


class Killed(BaseException):
    """What ends a run without a word."""


class KillAt(nnx.Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, run):
        if run.step == self.step:
            raise Killed

    def on_epoch_end(self, run):  # of small networks, whose steps nobody sees
        if run.epoch * BATCHES == self.step:
            raise Killed


def noisy(generator, x, y):
    return x + np.float32(0.1) * generator.normal(size=x.shape).astype(x.dtype), y


def network(device="numpy", seed=3):
    layers = [nnx.Dense(6, 16), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(8), nnx.Tanh(),
              nnx.Dense(3)]  # fmt: skip
    return nnx.Network(layers, device=device, seed=seed)


def train(made=None, callbacks=(), optimizer=None, **options):
    made = made or network()
    options = {"epochs": 5, "batch_size": 8, "validation": (X[:20], Y[:20])} | options
    history = made.fit(
        X, Y, loss=nnx.MeanSquaredError(), optimizer=optimizer or nnx.Adam(nnx.Cosine(0.02, 40)),
        callbacks=callbacks, **options,
    )  # fmt: skip
    return made, history


def same(a, b):
    """The same network and history, to the last bit."""
    same_bytes(a[0].weights(), b[0].weights())
    assert a[0].arena.step == b[0].arena.step
    assert a[1].metrics == b[1].metrics
    assert (a[1].epochs, a[1].steps) == (b[1].epochs, b[1].steps)


def names(folder):
    return sorted((path.name for path in folder.iterdir()), key=lambda n: (len(n), n))


def killed(folder, step, make=network, every=3, **options):
    with pytest.raises(Killed):
        train(make(), [KillAt(step)], checkpoint=nnx.Checkpoint(folder, every=every), **options)
