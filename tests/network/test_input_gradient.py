"""The gradient of an output in the input: that of finite differences, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import every_layer, host, regressor, train

import nnx

pytestmark = pytest.mark.usefixtures("on_cpu")

STEP = 1e-6


def differences(network, x, output):
    """∂y[i, output]/∂x[i] by central differences; rows do not depend on each other."""
    found = np.empty_like(x)
    flat = found.reshape(len(x), -1)
    for number in range(flat.shape[1]):
        change = np.zeros((1, flat.shape[1]))
        change[0, number] = STEP
        change = change.reshape(1, *x.shape[1:])
        upper, lower = (network.predict(x + sign * change).reshape(len(x), -1) for sign in (1.0, -1.0))
        flat[:, number] = (upper - lower)[np.arange(len(x)), output] / (2.0 * STEP)
    return found


NETWORKS = {
    "dense": lambda **o: nnx.Network(
        [nnx.Dense(3, 5), nnx.Tanh(), nnx.Dropout(0.5), nnx.Dense(4), nnx.Mish(), nnx.Dense(2)], seed=0, **o
    ),
    "every kind": every_layer,
    "image": lambda **o: nnx.Network(
        [nnx.Conv2D(3, 2, activation="selu"), nnx.AveragePool2D(2), nnx.Flatten(), nnx.Dense(2)], seed=0, **o
    ).build((3, 3, 2)),
    "residual": lambda **o: nnx.Network(
        [nnx.Dense(3, 5), nnx.Residual([nnx.LayerNorm(), nnx.Dense(5), nnx.SiLU()]), nnx.Dense(2)],
        seed=0, **o,
    ),
    "with a term": lambda **o: nnx.Network(
        [nnx.Dense(3, 5), nnx.Sigmoid(), nnx.L1Sparsity(0.3), nnx.GaussianNoise(0.4), nnx.Dense(2)],
        seed=0, **o,
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", NETWORKS.values(), ids=list(NETWORKS))
def test_it_is_that_of_finite_differences(make, rng, backend):
    network = make(dtype="float64", device=backend.name)
    x = rng.normal(size=(7, *network.input_shape))
    if network.takes_integers is False and any(isinstance(layer, nnx.BatchNorm) for layer in network):
        network.forward(network.asarray(x), training=True)  # running statistics other than 0 and 1
    for output in (0, 1, -1, rng.integers(0, network.outputs, len(x))):
        found = network.input_gradient(x, output)
        assert found.dtype == np.float64
        assert found.shape == x.shape
        np.testing.assert_allclose(found, differences(network, x, output), rtol=1e-6, atol=1e-8)


def test_batches_change_nothing(rng):
    network = regressor(dtype="float64")
    x = rng.normal(size=(10, 3))
    chosen = rng.integers(0, 2, 10)
    whole, parts = (network.input_gradient(x, chosen, batch_size=size) for size in (100, 3))
    np.testing.assert_allclose(parts, whole, rtol=1e-13)


def test_parameters_gradients_and_the_next_step_stay_as_they_are(rng):
    one, other = regressor(), regressor()
    x = rng.normal(size=(6, 3)).astype(np.float32)
    for network in (one, other):
        y = network.forward(network.asarray(x), training=True)
        network.backward(y)
    before = host(one.arena.gradients).copy()
    one.input_gradient(x, 1)
    np.testing.assert_array_equal(host(one.arena.gradients), before)
    for network in (one, other):
        nnx.Adam(0.1).step(network)
        train(network)
    for name, value in one.weights().items():
        np.testing.assert_array_equal(value, other.weights()[name], err_msg=name)


def test_the_next_step_of_a_sparse_layer_stays_as_it_is(rng):
    """Its optimizer reads the gradients of the rows that the backward pass used."""
    x, made = rng.normal(size=(5, 3)), []
    for asked in (False, True):
        network = nnx.Network([nnx.Dense(3, 4, sparse=True), nnx.Dense(1)], seed=0, dtype="float64")
        network.backward(network.forward(network.asarray(x), training=True).copy())
        if asked:
            network.input_gradient(x[::-1])
        nnx.SGD(0.1).step(network)
        made.append(network.weights())
    for name, value in made[0].items():
        np.testing.assert_array_equal(made[1][name], value, err_msg=name)


def test_a_slice_has_the_gradient_of_its_output(rng):
    network = regressor(dtype="float64")
    x = rng.normal(size=(4, 3))
    np.testing.assert_allclose(
        network[:2].input_gradient(x, 3), differences(network[:2], x, 3), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x": np.zeros((4, 3))}, "the network has 2 outputs: choose one with output=0"),
        ({"x": np.zeros((4, 3)), "output": 2}, "output must lie in 0 to 1, not 2"),
        ({"x": np.zeros((4, 3)), "output": [0, 1]}, "one for each of the 4 rows"),
        ({"x": np.zeros((4, 3)), "output": 0.5}, "output must be a whole number"),
        ({"x": np.zeros(3), "output": 0}, "at least a row, not (3,)"),
        ({"x": np.zeros((0, 3)), "output": 0}, "at least a row, not (0, 3)"),
        ({"x": np.zeros((4, 5)), "output": 0}, "5 features"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(arguments, text):
    with pytest.raises((nnx.DataError, nnx.ConfigurationError)) as caught:
        regressor().input_gradient(**arguments)
    assert text in str(caught.value)


def test_integers_have_no_gradient():
    network = nnx.Network([nnx.Embedding(5, 2), nnx.Flatten(), nnx.Dense(1)], seed=0)
    with pytest.raises(nnx.ConfigurationError, match="takes integers, which have no gradient"):
        network.input_gradient(np.zeros((2, 3), int))
