"""Slopes that are trained, with Keras's shapes."""

from __future__ import annotations

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.usefixtures("on_cpu")

SHAPES = [
    (None, (4,), (4,)),
    ([1], (4,), (1,)),
    (None, (3, 5, 2), (3, 5, 2)),
    ([1, 2], (3, 5, 2), (1, 1, 2)),
    ([1], (3, 5, 2), (1, 5, 2)),
    ([2], (3, 5, 2), (3, 1, 2)),
    ([3], (3, 5, 2), (3, 5, 1)),
    ([1, 3], (3, 5, 2), (1, 5, 1)),
    ([1, 2, 3], (3, 5, 2), (1, 1, 1)),
]


@pytest.mark.parametrize(("shared", "row", "slopes"), SHAPES)
def test_it_computes_its_formula_with_slopes_of_this_shape(shared, row, slopes, rng, backend):
    layer = nnx.PReLU(shared).build(row, device=backend, dtype="float64")
    assert layer.alpha.shape == slopes
    assert (backend.to_numpy(layer.alpha) == 0.25).all()
    alpha = rng.normal(size=slopes)
    layer.alpha[...] = backend.asarray(alpha)
    x, dy = rng.normal(size=(2, 6, *row))
    y = layer.forward(backend.asarray(x), training=True)
    np.testing.assert_allclose(backend.to_numpy(y), np.where(x > 0.0, x, alpha * x), rtol=1e-14)
    dx = layer.backward(backend.asarray(dy))
    np.testing.assert_allclose(backend.to_numpy(dx), np.where(x > 0.0, dy, alpha * dy), rtol=1e-14)
    axes = (0, *(axis for axis in shared or ()))
    total = (dy * np.minimum(x, 0.0)).sum(axis=axes, keepdims=True)[0]
    np.testing.assert_allclose(backend.to_numpy(layer.dalpha), total, rtol=1e-12)


def test_the_slope_of_the_data_is_learnt(rng):
    x = rng.normal(size=(200, 3)).astype(np.float32)
    y = np.where(x > 0.0, x, np.float32([0.1, 0.5, -0.3]) * x)
    network = nnx.Network([nnx.PReLU()], seed=0)
    network.fit(x, y, loss="mse", optimizer=nnx.Adam(0.05), epochs=60, batch_size=50)
    np.testing.assert_allclose(network.weights()["prelu_1.alpha"], [0.1, 0.5, -0.3], atol=0.01)


def test_it_is_an_activation_by_name():
    network = nnx.Network([nnx.Dense(3, 4, activation="prelu"), nnx.Dense(1)], seed=0)
    assert [name for name, _, _ in network.parameters()][2] == "prelu_1.alpha"
    with pytest.raises(nnx.ConfigurationError, match="alone cannot hold the parameters of its activation"):
        nnx.Dense(3, 4, activation="prelu").forward(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nnx.PReLU([0]), "shared_axes must be a positive integer"),
        (lambda: nnx.PReLU("12"), r"shared_axes must be a list of axes, such as \[1, 2\], not '12'"),
        (lambda: nnx.PReLU(initial=np.inf), "PReLU: initial"),
        (lambda: nnx.PReLU([2]).build(4), r"shared_axes has the axis 2, but rows of shape \(4,\)"),
    ],
)
def test_what_makes_no_sense_is_refused(make, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        make()
