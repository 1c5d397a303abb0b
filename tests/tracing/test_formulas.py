"""Formulas: symbols from the docstrings, numbers in their place."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.layers import ACTIVATIONS
from nnx.tracing import formulas


def test_numbers_are_short_and_negative_factors_in_parentheses():
    assert formulas.number(-0.000123456) == "−0.0001235"
    assert formulas.number(-0.0) == "0"
    assert formulas.factor(-2.5) == "(−2.5)"
    assert formulas.product_sum([(1.0, -2.0), (0.5, 3.0)], -1.0) == "1 · (−2) + 0.5 · 3 + (−1)"


def test_of_a_long_sum_the_largest_terms_are_written():
    text = formulas.product_sum([(float(place), 1.0) for place in range(10)])
    assert text == "4 · 1 + 5 · 1 + 6 · 1 + 7 · 1 + 8 · 1 + 9 · 1 + [4 more: 6]"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_formula_and_a_slope(name):
    layer = ACTIVATIONS[name]()
    if not formulas.is_activation(layer):
        assert formulas.of_layer(layer)[0]
        return
    forward, backward = formulas.of_layer(layer)
    assert forward.startswith("y")
    assert backward.startswith("dz = ")
    z = np.array([[0.3, -0.2]])
    layer = layer.build(2, device="numpy", dtype="float64")
    y = layer.forward(z).copy()
    expected = layer.backward(np.array([[1.0, 0.0]]))[0, 0]
    assert formulas.slope_of(layer, 0.3, y[0, 0]) == pytest.approx(expected, rel=1e-9)
    assert all(formulas.activation_numbers(layer, 0.3, y[0, 0]))


def test_the_input_of_an_activation_is_z():
    assert formulas.of_layer(nnx.ReLU()) == ("y = max(z, 0)", "dz = dy where y > 0, else 0")
    assert formulas.of_layer(nnx.Exp())[0] == "y = e^z"
    assert "max" not in formulas.of_layer(nnx.Mish())[0]


LOSSES = [
    (nnx.MeanSquaredError(), [], "2 (0.4 − 1) / 4"),
    (nnx.MeanSquaredError("sum_over_features"), [], "2 (0.4 − 1) / 2"),
    (nnx.MeanAbsoluteError(), [], "sign(0.4 − 1) / 4"),
    (nnx.BinaryCrossEntropy(), [nnx.Sigmoid], "(σ(0.4) − 1) / 4"),
    (nnx.CategoricalCrossEntropy(), [nnx.Softmax], "(0.5744 − 1) / 2"),
    (nnx.Huber(), [], ""),
]


@pytest.mark.parametrize(("loss", "last", "expected"), LOSSES, ids=lambda value: str(value)[:30])
def test_the_slope_of_a_loss_with_numbers(loss, last, expected):
    network = nnx.Network(
        [nnx.Dense(1, 2), *(one() for one in last)], device="numpy", dtype="float64", seed=0
    )
    network.layers[0].W[...], network.layers[0].b[...] = 0.0, [0.1, 0.4]
    y = np.array([[0.0, 1.0], [0.0, 1.0]])
    trace = network.trace(np.ones((2, 1)), y, loss, "sgd")
    assert formulas.loss_numbers(trace.loss, 0, 1) == expected
    sigma = 1 / (1 + np.exp(-0.4))
    found = {"(σ(0.4) − 1) / 4": (sigma - 1) / 4, "(0.5744 − 1) / 2": (0.57444 - 1) / 2}
    if expected in found:
        assert trace.loss.dy[0, 1] == pytest.approx(found[expected], rel=1e-4)
    assert np.mean(formulas.row_losses(trace.loss)) == pytest.approx(trace.loss.value, rel=1e-12)
    whole, each = formulas.of_loss(trace.loss)
    assert whole.startswith("L = ")
    assert each.startswith("ℓ = ")
