"""32 rows of six features with two targets, a small network for them, and one way to train it."""

from __future__ import annotations

import numpy as np

import nnx

X = np.random.default_rng(0).random((32, 6)).astype(np.float32)
Y = X[:, :2].copy()


def network(*between, **options):
    return nnx.Network([nnx.Dense(6, 4), *between, nnx.Dense(2)], **({"seed": 0} | options))


def fit(made, **options):
    given = {"loss": nnx.MeanSquaredError(), "optimizer": nnx.Adam(), "batch_size": 8}
    return made.fit(X, Y, **(given | options))
