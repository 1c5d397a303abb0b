"""Classifiers of three classes, and networks with equal weights."""

from __future__ import annotations

import numpy as np

import nnx

RNG = np.random.default_rng(12)
LABELS = RNG.integers(0, 3, 37)


def classifier(seed=0, **options):
    layers = [nnx.Dense(3, 6), nnx.ReLU(), nnx.Dense(3), nnx.Softmax()]
    return nnx.Network(layers, seed=seed, **options)


def same_bytes(a, b):
    assert {name: value.tobytes() for name, value in a.weights().items()} == {
        name: value.tobytes() for name, value in b.weights().items()
    }
