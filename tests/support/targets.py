"""Targets of each kind and predictions of them, and data to train on."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(8)
ROWS = 60
ONE_OF_3 = RNG.integers(0, 3, ROWS)
LABELS = np.array([[1, 1, 0], [0, 0, 0], *RNG.integers(0, 2, (ROWS - 2, 3))])
BINARY = np.array([0, 1, *RNG.integers(0, 2, ROWS - 2)])
P3, P1 = RNG.dirichlet(np.ones(3), ROWS), RNG.random((ROWS, 1))
PS = RNG.random((ROWS, 3))
NUMBERS = RNG.normal(size=(ROWS, 2))
ANSWERS = NUMBERS + RNG.normal(size=(ROWS, 2))

X = RNG.normal(size=(80, 3)).astype(np.float32)
TOGETHER = (X > 0).astype(np.float32)
CLASSES = np.argmax(X, axis=1)
VALUES = X @ np.array([[1.0], [2.0], [-1.0]], np.float32)
W = RNG.random(80)
