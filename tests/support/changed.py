"""A network with a layer and a loss of a user, and a training whose settings callbacks change."""

from __future__ import annotations

import nnx
from support.resumed import X, Y


class Scaled(nnx.Loss):
    """A loss of the user's own, with a factor."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def config(self):
        return {"factor": self.factor}

    def formula(self, xp, y_true, y_pred):
        difference = y_pred - y_true
        return self.factor * difference * difference, 2.0 * self.factor * difference


class Sharp(nnx.Layer):
    """A layer of the user's own: an attribute that `config` does not name."""

    def __init__(self):
        super().__init__()
        self.sharpness = 1.0

    def forward_into(self, x, y, cache):
        y[...] = x * self.sharpness

    def backward_into(self, dy, dx, cache):
        if dx is not None:
            dx[...] = dy * self.sharpness


def fit(callbacks, optimizer=None, **options):
    layers = [nnx.Dense(6, 16), nnx.BatchNorm(), nnx.ReLU(), nnx.Dropout(0.2), nnx.Dense(8),
              nnx.LeakyReLU(0.2), Sharp(), nnx.Dense(3)]  # fmt: skip
    made = nnx.Network(layers, device="numpy", seed=3)
    made.layers[7].trainable = False
    options = {"epochs": 5, "batch_size": 8, "validation": (X[:20], Y[:20])} | options
    history = made.fit(
        X, Y, loss=Scaled(), optimizer=optimizer or nnx.Adam(nnx.schedules.Step(0.02, 30)),
        callbacks=callbacks, **options,
    )  # fmt: skip
    return made, history
