"""Layers that only change the shape of a row copy nothing."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import host

import nnx

pytestmark = pytest.mark.usefixtures("device")

X = np.random.default_rng(8).normal(size=(40, 6))


def test_flatten_and_reshape_copy_nothing():
    made = nnx.Network([nnx.Reshape((3, 2)), nnx.Reshape((2, -1)), nnx.Flatten()], dtype="float64").build(6)
    x = made.asarray(X)
    y = made.forward(x, training=True)
    y[0] = 7.0
    assert (host(x)[0] == 7.0).all(), "the output is a view of the input"
    dy = made.asarray(np.ones((40, 6)))
    dx = made.backward(dy, input_gradient=True)
    assert dx.shape == (40, 6)
    dx[0] = 5.0
    assert (host(dy)[0] == 5.0).all()
