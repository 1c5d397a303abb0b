"""Tied weights: one parameter, whose gradient is the sum of what both layers give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from support.resumed import KillAt, Killed, same

import nnx
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("device")
X = np.random.default_rng(8).uniform(-1.0, 1.0, (61, 6)).astype(np.float32)


def network(**options) -> nnx.Network:
    first, second = nnx.Dense(4), nnx.Dense(2)
    layers = [first, nnx.Tanh(), second, nnx.TiedDense(second), nnx.Tanh(), nnx.TiedDense(first)]
    made = nnx.Network(layers, **{"seed": 3} | options).build(6)
    made.encoder_length = 3
    return made


def host(x):
    return x if isinstance(x, np.ndarray) else x.get()


def test_the_output_is_that_of_the_transposed_weights():
    made = network(dtype="float64")
    W, V = (host(made[place].W) for place in (0, 2))
    code = np.tanh(X @ W + host(made[0].b)) @ V + host(made[2].b)
    expected = np.tanh(code @ V.T + host(made[3].b)) @ W.T + host(made[5].b)
    np.testing.assert_allclose(made.predict(X), expected, rtol=1e-6)


def test_the_parameters_are_stored_once():
    made = network()
    assert [name for name, _, _ in made.parameters()] == [
        "dense_1.W", "dense_1.b", "dense_2.W", "dense_2.b", "tieddense_1.b", "tieddense_2.b"
    ]  # fmt: skip
    assert made.parameter_count() == 6 * 4 + 4 + 4 * 2 + 2 + 4 + 6
    assert made.weights().keys() == {name for name, _, _ in made.parameters()}


def test_gradients_of_both_layers_are_added():
    """As if the two matrices were separate parameters."""
    made = network(dtype="float64")
    plain = nnx.Network(
        [nnx.Dense(6, 4), nnx.Tanh(), nnx.Dense(2), nnx.Dense(4), nnx.Tanh(), nnx.Dense(6)], dtype="float64"
    )
    for one, other, place in ((0, 0, None), (2, 2, None), (3, 3, 2), (5, 5, 0)):
        plain[other].b[...] = made[one].b
        plain[other].W[...] = made[one].W if place is None else made[place].W.T
    loss, gradients = nnx.MeanSquaredError(), []
    for one in (made, plain):
        x = one.asarray(X)
        one.backward(loss.gradient(x, one.forward(x, training=True)))
        gradients.append(
            {place: host(one[place].dW).copy() for place in (0, 2, 3, 5) if hasattr(one[place], "W")}
        )
    np.testing.assert_allclose(gradients[0][0], gradients[1][0] + gradients[1][5].T, rtol=1e-9)
    np.testing.assert_allclose(gradients[0][2], gradients[1][2] + gradients[1][3].T, rtol=1e-9)


def test_slices_that_are_run_one_after_the_other_give_the_same_gradient():
    whole, parts = network(dtype="float64"), network(dtype="float64")
    loss, x = nnx.MeanSquaredError(), whole.asarray(X)
    dy = loss.gradient(x, whole.forward(x, training=True))
    whole.backward(dy)
    encoder, decoder = parts[:3], parts[3:]
    decoder.forward(encoder.forward(parts.asarray(X), training=True).copy(), training=True)
    encoder.backward(decoder.backward(dy, input_gradient=True).copy())
    for (name, _, expected), (_, _, found) in zip(whole.parameters(), parts.parameters(), strict=True):
        np.testing.assert_allclose(host(found), host(expected), rtol=1e-9, err_msg=name)


def test_a_gradient_of_an_earlier_step_is_not_added():
    """The decoder alone is trained; what it gave must not reach the encoder's later gradient."""
    one, other = network(dtype="float64"), network(dtype="float64")
    codes = one[:3].predict(X)
    one[3:].fit(codes, X, loss="mse", optimizer="sgd", epochs=1, batch_size=61)
    other.set_weights(one.weights())
    for made in (one, other):
        encoder = made[:3]
        y = encoder.forward(made.asarray(X), training=True)
        encoder.backward(y.copy())
    np.testing.assert_allclose(host(one[0].dW), host(other[0].dW), rtol=1e-12)


def test_a_gradient_that_was_not_fetched_is_not_added_in_the_same_step():
    one = network(dtype="float64")
    encoder = one[:3]

    def gradient():
        encoder.backward(encoder.forward(one.asarray(X), training=True).copy())
        return host(one[0].dW).copy()

    expected = gradient()
    one[3:].input_gradient(one[:3].predict(X), output=0)
    np.testing.assert_array_equal(gradient(), expected)


def test_files_and_copies_are_tied_too(tmp_path):
    made = network()
    made.save(tmp_path / "model.safetensors")
    for twin in (
        made.copy(),
        nnx.load(tmp_path / "model.safetensors"),
        nnx.Network.from_config(made.config()),
    ):
        assert twin[5].other is twin[0]
        assert twin[3].other is twin[2]
        assert twin.weights().keys() == made.weights().keys()
    np.testing.assert_array_equal(nnx.load(tmp_path / "model.safetensors").predict(X), made.predict(X))


def train(callbacks=(), **options):
    made = network()
    options = {"epochs": 3, "batch_size": 8, "callbacks": callbacks} | options
    history = made.fit(X, X, loss="mse", optimizer=nnx.Adam(0.01), **options)
    return made, history


def test_a_resumed_run_has_the_same_bits(tmp_path):
    whole = train()
    with pytest.raises(Killed):
        train([KillAt(13)], checkpoint=nnx.Checkpoint(tmp_path, every=3))
    same(train(checkpoint=nnx.Checkpoint(tmp_path, every=3, resume=True)), whole)


def test_a_layer_in_a_container_can_be_the_other_one():
    inner = nnx.Dense(3)
    made = nnx.Network([nnx.Sequential([inner, nnx.Tanh()]), nnx.TiedDense(inner)], seed=1).build(6)
    twin = made.copy()
    assert twin[1].other is twin[0].branches[0][0]
    assert made.output_shape == (6,)


def test_the_layer_stays_the_one_given_after_a_network_that_did_not_fit():
    first, other = nnx.Dense(6, 3), nnx.Dense(3)
    tied = nnx.TiedDense(first)
    with pytest.raises(ConfigurationError, match="has 2"):
        nnx.Network([first, nnx.Dense(2), tied])
    made = nnx.Network([first, other, nnx.Tanh(), tied])
    assert tied.other is first
    assert made.output_shape == (6,)


def test_what_cannot_be_tied_is_refused():
    outside = nnx.Dense(6, 3)
    with pytest.raises(ConfigurationError, match="comes before it in the same network"):
        nnx.Network([nnx.Dense(6, 3), nnx.TiedDense(outside)])
    with pytest.raises(ConfigurationError, match="comes before it in the same network"):
        nnx.Network([nnx.TiedDense(outside), outside]).build(3)
    first = nnx.Dense(6, 3)
    with pytest.raises(ConfigurationError, match=r"takes the 3 outputs of .* has 2"):
        nnx.Network([first, nnx.Dense(2), nnx.TiedDense(first)])
    with pytest.raises(ConfigurationError, match="comes before it in the same network"):
        network()[3:].copy()
    one = nnx.Dense(6)
    with pytest.raises(ConfigurationError, match="not in another branch"):  # its gradient would be lost
        nnx.Network([nnx.Residual([one], nnx.TiedDense(one))]).build(6)
    with pytest.raises(ConfigurationError, match="TiedDense: of"):
        nnx.TiedDense(nnx.ReLU())


@pytest.mark.parametrize("lazy", [False, True])
def test_sparse_rows_give_the_gradients_of_dense_ones(lazy):
    """The first layer has gradients of the columns that occur; the other layer's gradient has all rows."""
    x = np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.3, X, 0.0).astype(np.float32)
    fitted = []
    for rows in (x, sparse.csr_array(x)):
        first = nnx.Dense(6, 4, sparse=lazy)
        made = nnx.Network([first, nnx.Tanh(), nnx.TiedDense(first)], seed=3, device="cpu")
        made.fit(rows, x, loss="mse", optimizer=nnx.Adam(0.01), epochs=3, batch_size=8)
        fitted.append(made.weights())
    for name, value in fitted[0].items():
        np.testing.assert_allclose(fitted[1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)
