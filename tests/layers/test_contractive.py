"""The contractive term is the squared norm of the Jacobian, exactly or in expectation."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("device")
X = np.random.default_rng(4).standard_normal((5, 6))


def jacobians(network: nnx.Network, x: np.ndarray) -> np.ndarray:
    """∂h/∂x of each row by central differences, of shape (rows, outputs, inputs)."""
    columns = []
    for i in range(x.shape[1]):
        step = np.zeros(x.shape[1])
        step[i] = 1e-5
        columns.append((network.predict(x + step) - network.predict(x - step)) / 2e-5)
    return np.stack(columns, axis=-1)


def term(network: nnx.Network, x: np.ndarray) -> float:
    network.forward(network.asarray(x), training=True)
    return float(network.terms()["contraction"][0])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "relu", "leaky_relu", "elu", "linear"])
def test_the_term_of_one_layer_is_exact(name):
    layers = [nnx.Dense(4), nnx.layers.get(name)]
    network = nnx.Network([nnx.Contractive(layers, 0.7)], dtype="float64", seed=2).build(6)
    expected = 0.7 * np.mean(np.sum(jacobians(network, X) ** 2, axis=(1, 2)))
    assert term(network, X) == pytest.approx(expected, rel=1e-7)


def test_the_term_of_several_layers_is_exact_in_expectation():
    layers = [nnx.Dense(5), nnx.Tanh(), nnx.Dense(4), nnx.ELU(), nnx.Dense(3)]
    network = nnx.Network([nnx.Contractive(layers, 0.7)], dtype="float64", seed=2).build(6)
    expected = 0.7 * np.mean(np.sum(jacobians(network, X) ** 2, axis=(1, 2)))
    many = np.tile(X, (2000, 1))
    assert term(network, many) == pytest.approx(expected, rel=0.03)
    assert term(network, many) != term(network, many)  # each pass has other directions
    found = [network.evaluate(many, network.predict(many), loss="mse")["contraction"] for _ in range(2)]
    assert found[0] == found[1] == pytest.approx(expected, rel=0.12)  # of 1,024 directions


def test_the_layer_computes_what_its_layers_do():
    layers = [nnx.Dense(5), nnx.Tanh(), nnx.Dense(4)]
    plain = nnx.Network([nnx.Dense(6, 5), nnx.Tanh(), nnx.Dense(4)], seed=2)
    for weight in (0.0, 0.3):
        made = nnx.Network([nnx.Contractive(layers, weight)], seed=2).build(6)
        np.testing.assert_array_equal(made.predict(X), plain.predict(X))
        layers = [nnx.Dense(5), nnx.Tanh(), nnx.Dense(4)]


def test_without_weight_training_is_that_of_the_layers():
    fitted = []
    for contractive in (True, False):
        layers = [nnx.Dense(5), nnx.Tanh(), nnx.Dense(4), nnx.Sigmoid()]
        encoder = [nnx.Contractive(layers, 0.0)] if contractive else layers
        network = nnx.Network([*encoder, nnx.Dense(6)], dtype="float64", seed=2).build(6)
        network.fit(X, X, loss="mse", optimizer=nnx.Adam(0.01), epochs=5, batch_size=2)
        fitted.append(list(network.weights().values()))
    for one, other in zip(*fitted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)


def test_training_makes_the_code_less_sensitive():
    x = np.random.default_rng(1).standard_normal((200, 6))
    norms = []
    for weight in (0.0, 1.0):
        encoder = nnx.Contractive([nnx.Dense(5), nnx.Sigmoid()], weight)
        network = nnx.Network([encoder, nnx.Dense(6)], dtype="float64", seed=2, device="numpy").build(6)
        network.fit(x, x, loss="mse", optimizer=nnx.Adam(0.02), epochs=60, batch_size=50)
        norms.append(np.mean(np.sum(jacobians(network[:1], x) ** 2, axis=(1, 2))))
    assert norms[1] < 0.5 * norms[0]


def test_tied_weights_get_all_three_parts_of_their_gradient():
    first = nnx.Dense(4)
    network = nnx.Network([nnx.Contractive([first, nnx.Sigmoid()], 0.4), nnx.TiedDense(first)], seed=0)
    for weights in (None, np.arange(5.0)):
        nnx.gradcheck.check(network, X, X, nnx.MeanSquaredError(), sample_weight=weights).raise_if_failed()


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (lambda: [nnx.Dense(3), nnx.Dropout(0.1)], "not Dropout"),
        (lambda: [nnx.Dense(3), nnx.GELU()], "not GELU"),
        (lambda: [nnx.Tanh(), nnx.Dense(3)], "not Tanh"),
        (lambda: [nnx.Dense(3), nnx.Tanh(), nnx.Tanh()], "not tanh_2|not Tanh"),
    ],
)
def test_other_layers_are_refused(layers, said):
    with pytest.raises(ConfigurationError, match="Contractive takes dense layers, each") as error:
        nnx.Contractive(layers(), 0.1)
    assert any(part.lower() in str(error.value).lower() for part in said.split("|"))


def test_rows_of_several_axes_and_negative_weights_are_refused():
    with pytest.raises(ConfigurationError, match="rows with one axis"):
        nnx.Network([nnx.Contractive([nnx.Dense(3)], 0.1)]).build((2, 3))
    with pytest.raises(ConfigurationError, match="Contractive: weight"):
        nnx.Contractive([nnx.Dense(3)], -0.1)
