"""A short training that other programs can follow."""

from __future__ import annotations

import numpy as np

import nnx
from nnx.errors import ConfigurationError

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(-1, 1)
Y = X**2


def fit(*callbacks, epochs=3, **options):
    network = nnx.Network([nnx.Dense(1, 8), nnx.Tanh(), nnx.Dense(1)], device="cpu", seed=0)
    return network.fit(X, Y, loss=nnx.MeanSquaredError(), optimizer=nnx.Adam(1e-2), epochs=epochs,
                       batch_size=8, callbacks=callbacks, **options)  # fmt: skip


class Failing(nnx.Callback):
    def on_epoch_end(self, run):
        raise ConfigurationError("enough")
