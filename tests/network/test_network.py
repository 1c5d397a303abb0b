"""Networks: building, passes, modes, slices."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import (
    OPTIMIZERS,
    RNG,
    X,
    backward,
    every_layer,
    forward,
    host,
    small,
    train,
)

import nnx

pytestmark = pytest.mark.usefixtures("device")

# ------------------------------------------------------------------- building


def test_summary_tells_widths_counts_and_what_is_frozen(device):
    network = small()
    network[2].trainable = False
    lines = network.summary().splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["dense_1"] == ["5", "20"]
    assert cells["dense_2"] == ["4", "24", "frozen"]
    assert f"{20 + 24 + 10} parameters, float32, {device}" in lines[-1]
    assert network.parameter_count() == 54


# --------------------------------------------------------------------- passes


def test_dropout_drops_in_training_only():
    network = nnx.Network([nnx.Dropout(0.5), nnx.Dense(200, 1, initializer="zeros")], seed=0)
    network.build(200)
    x = np.ones((50, 200), np.float32)
    layer = network[0:1]
    assert (forward(layer, x) == 1.0).all()
    y = forward(layer, x, training=True)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert abs(float((y == 0).mean()) - 0.5) < 0.02
    dx = backward(layer, np.ones_like(x), input_gradient=True)
    np.testing.assert_array_equal(dx, y)
    assert forward(layer, x, training=True).tobytes() != y.tobytes()  # each pass has a mask for itself
    network.arena.step += 1
    assert forward(layer, x, training=True).tobytes() != y.tobytes()


def test_dropout_masks_do_not_depend_on_the_batch_that_went_before():
    a, b = every_layer(), every_layer()
    forward(a, X[:2], training=True), forward(b, X[:7], training=True)
    a.set_weights(b.weights())  # running statistics too
    assert forward(a, X, training=True).tobytes() == forward(b, X, training=True).tobytes()


# --------------------------------------------------------------------- slices


def test_a_slice_shares_its_parameters():
    network = small()
    part = network[:2]
    np.testing.assert_allclose(
        part.predict(X), np.tanh(X @ host(network[0].W) + host(network[0].b)), rtol=1e-5
    )
    network[0].W[...] = 0.0
    assert not part.predict(X).any()
    next(iter(part.parameters()))[1][...] = 1.0
    assert (network[0].W == 1.0).all()
    assert part.span == (0, 2)
    assert network[1:4][1:].span == (2, 4)


def test_encoder_and_decoder_together_are_the_network():
    network = small()
    codes = network[:2].predict(X)
    np.testing.assert_array_equal(network[2:].predict(codes), network.predict(X))


@pytest.mark.parametrize("index", [slice(None, None, 2), slice(3, 1), slice(2, 2), slice(None, None, -1)])
def test_a_slice_takes_neighbouring_layers(index):
    with pytest.raises(nnx.ConfigurationError, match="one or more neighbouring layers"):
        small()[index]


def test_an_index_gives_the_layer():
    network = small()
    assert network[0] is network.layers[0]
    assert network[-1] is network.layers[-1]
    with pytest.raises(IndexError):
        network[9]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_a_slice_changes_its_layers_only(name):
    network = small()
    before = network.weights()
    train(network[2:4], OPTIMIZERS[name](), x=RNG.normal(size=(12, 5)), y=np.ones((12, 4)))
    after = network.weights()
    for key in before:
        changed = before[key].tobytes() != after[key].tobytes()
        assert changed == key.startswith("dense_2."), key


def test_gradients_left_outside_a_slice_are_no_fault_of_its_training():
    network = small()
    forward(network, X, training=True)
    backward(network, np.full((12, 2), np.nan, np.float32))
    history = train(network[3:], x=RNG.normal(size=(12, 4)))
    assert np.isfinite(history["loss"]).all()
