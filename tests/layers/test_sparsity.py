"""Layers that keep a code sparse return their input, and their terms have the values of the formulas."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.errors import ConfigurationError

X = np.random.default_rng(3).uniform(-1.0, 1.0, (50, 8))


def fitted(layer: nnx.Layer, activation: nnx.Layer) -> np.ndarray:
    """Train an autoencoder with a code of 12, and return the codes."""
    network = nnx.Network(
        [nnx.Dense(8, 12), activation, layer, nnx.Dense(8)], dtype="float64", seed=1, device="numpy"
    )
    network.fit(X, X, loss="mse", optimizer=nnx.Adam(0.02), epochs=120, batch_size=25)
    return network[:3].predict(X)


def test_the_layers_return_their_input():
    for layer in (nnx.L1Sparsity(3.0), nnx.KLSparsity(3.0)):
        layer.build(8, dtype="float64")
        np.testing.assert_array_equal(layer.forward(X, training=False), X)
    layer = nnx.L1Sparsity(3.0)
    np.testing.assert_array_equal(layer.forward(X, training=True), X)


def test_the_term_of_kl_is_the_sum_of_divergences():
    a, t = np.abs(X), 0.1
    network = nnx.Network([nnx.KLSparsity(0.7, t)], dtype="float64").build(8)
    network.forward(network.asarray(a), training=True)
    m = a.mean(axis=0)
    expected = 0.7 * np.sum(t * np.log(t / m) + (1 - t) * np.log((1 - t) / (1 - m)))
    assert float(network.terms()["sparsity"][0]) == pytest.approx(expected)


def test_l1_makes_more_of_a_relu_code_zero():
    shares = [np.mean(fitted(nnx.L1Sparsity(weight), nnx.ReLU()) == 0.0) for weight in (0.0, 0.02)]
    assert shares[1] > shares[0] + 0.15


def test_kl_moves_mean_activations_to_the_target():
    found = [fitted(nnx.KLSparsity(weight, 0.1), nnx.Sigmoid()).mean(axis=0) for weight in (0.0, 1.0)]
    assert np.abs(found[0] - 0.1).mean() > 0.2
    np.testing.assert_allclose(found[1], 0.1, atol=0.03)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_unit_that_is_always_off_or_on_gives_finite_numbers(value):
    network = nnx.Network([nnx.KLSparsity(1.0)], dtype="float32").build(3)
    x = network.asarray(np.full((4, 3), value, np.float32))
    network.forward(x, training=True)
    dx = network.backward(network.asarray(np.zeros((4, 3), np.float32)), input_gradient=True)
    assert np.isfinite(float(network.terms()["sparsity"][0]))
    assert np.isfinite(dx).all()


def test_values_outside_0_to_1_are_an_error_that_says_what_to_do():
    network = nnx.Network([nnx.Dense(8, 4), nnx.KLSparsity(0.1), nnx.Dense(8)], seed=0)
    with pytest.raises(nnx.TrainingError, match=r"klsparsity_1 adds to the loss .* put nnx.Sigmoid"):
        network.fit(X, X, loss="mse", optimizer="adam", batch_size=25)


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        (nnx.L1Sparsity, {"weight": -1.0}, "L1Sparsity: weight"),
        (nnx.KLSparsity, {"weight": np.nan}, "KLSparsity: weight"),
        (nnx.KLSparsity, {"weight": 1.0, "target": 1.0}, "KLSparsity: target"),
    ],
)
def test_wrong_arguments_are_refused(kind, arguments, named):
    with pytest.raises(ConfigurationError, match=named):
        kind(**arguments)
