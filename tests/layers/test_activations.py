"""Activations as layers compute their formulas, with the slope or form that they were given."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnx

pytestmark = pytest.mark.usefixtures("on_cpu")

X = np.array([[-2.0, -0.5, 0.0, 1.5]])
NORMAL = np.array([[0.5 * (1.0 + math.erf(x / math.sqrt(2.0))) for x in X[0]]])  # Φ(x)
FORMULAS = [
    (nnx.Identity(), X),
    (nnx.ReLU(), [[0.0, 0.0, 0.0, 1.5]]),
    (nnx.LeakyReLU(), [[-0.02, -0.005, 0.0, 1.5]]),
    (nnx.LeakyReLU(0.3), [[-0.6, -0.15, 0.0, 1.5]]),
    (nnx.ELU(), [[math.exp(-2.0) - 1.0, math.exp(-0.5) - 1.0, 0.0, 1.5]]),
    (nnx.ELU(0.7), [[0.7 * (math.exp(-2.0) - 1.0), 0.7 * (math.exp(-0.5) - 1.0), 0.0, 1.5]]),
    (nnx.GELU(), X * NORMAL),
    (nnx.GELU(True), 0.5 * X * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (X + 0.044715 * X**3)))),
    (nnx.SiLU(), X / (1.0 + np.exp(-X))),
    (nnx.Sigmoid(), 1.0 / (1.0 + np.exp(-X))),
    (nnx.Tanh(), np.tanh(X)),
    (nnx.Softplus(), np.log(1.0 + np.exp(X))),
    (nnx.SELU(), [[*(1.0507009873554805 * 1.6732632423543772 * math.expm1(x) for x in (-2.0, -0.5)),
                   0.0, 1.5 * 1.0507009873554805]]),
    (nnx.Mish(), X * np.tanh(np.log(1.0 + np.exp(X)))),
    (nnx.HardSigmoid(), [[1.0 / 6.0, 2.5 / 6.0, 0.5, 0.75]]),
    (nnx.Exp(), np.exp(X)),
    (nnx.PReLU(), [[-0.5, -0.125, 0.0, 1.5]]),
    (nnx.PReLU([1], 0.5), [[-1.0, -0.25, 0.0, 1.5]]),
    (nnx.Softmax(), np.exp(X) / np.exp(X).sum()),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "expected"), FORMULAS, ids=[repr(layer) for layer, _ in FORMULAS])
def test_formulas(layer: nnx.Layer, expected: np.ndarray) -> None:
    y = nnx.Network([type(layer)(**layer.config())], device="numpy", dtype="float64").build(4).predict(X)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-15)


def test_every_activation_has_a_formula_here() -> None:
    assert {type(layer) for layer, _ in FORMULAS} == set(nnx.layers.ACTIVATIONS.values())


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(nnx.ConfigurationError, match="unknown activation 'sigmoyd': did you mean 'sigmoid'"):
        nnx.Dense(3, activation="sigmoyd")
