"""Training with values that are not finite."""

from __future__ import annotations

import numpy as np

import nnx

RNG = np.random.default_rng(8)
X = RNG.normal(size=(61, 6)).astype(np.float32)
Y = np.tanh(X @ RNG.normal(size=(6, 3)).astype(np.float32))


def bad(row=20):
    """Data whose third batch of eight overflows in float32, in order."""
    x = X.copy()
    x[row] = 3e38
    return x


def network(device="numpy"):
    layers = [nnx.Dense(6, 16), nnx.BatchNorm(), nnx.Tanh(), nnx.Dropout(0.1), nnx.Dense(3)]
    made = nnx.Network(layers, device=device, seed=3)
    made[0].W[...] *= 10.0
    return made


def train(made, x, *callbacks, optimizer=None, **options):
    options = {"epochs": 4, "batch_size": 8, "shuffle": False} | options
    options |= {"loss": nnx.MeanSquaredError(), "optimizer": optimizer or nnx.Adam(0.01)}
    return made, made.fit(x, Y[: len(x)], callbacks=callbacks, **options)


class Bad(nnx.Callback):
    """Parameters that overflow, set at a step, so many times."""

    def __init__(self, times, step=13):
        self.left, self.step, self.rates = times, step, []

    def on_step_end(self, run):
        (kept,) = run.network.arena.states.values()
        self.rates.append((run.step, kept.scale))
        if run.step == self.step and self.left:
            self.left -= 1
            run.network[0].W[...] = 3e38
