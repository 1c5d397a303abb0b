"""A plan runs layers fused or not, on batches of any size and layout, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_networks import (
    RNG,
    X,
    Y,
    backward,
    every_layer,
    forward,
    host,
    same_bytes,
    small,
    train,
)

import nnx

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("final", [nnx.Sigmoid, nnx.Softmax, nnx.Identity])
def test_dy_is_left_alone_where_the_last_activation_is_fused(final):
    network = nnx.Network([nnx.Dense(3, 2), final()], seed=0)
    forward(network, X, training=True)
    dy = network.asarray(Y.copy())
    network.backward(dy, input_gradient=True)
    assert dy.tobytes() == Y.tobytes()


@pytest.mark.parametrize("order", ["columns", "strided", "reversed", "transposed"])
def test_inputs_of_any_layout_give_the_same_numbers(order):
    wide = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)
    x = {
        "columns": np.asfortranarray(X), "strided": wide[::2, ::2], "reversed": X[::-1].copy()[::-1],
        "transposed": X.T.copy().T,
    }[order]  # fmt: skip
    a, b = small(), small()
    np.testing.assert_allclose(forward(a, x, training=True), forward(b, X, training=True), rtol=1e-6)
    backward(a, Y), backward(b, Y)
    for (name, _, left), (_, _, right) in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(host(left), host(right), rtol=1e-5, atol=1e-6, err_msg=name)
    assert a.predict(x).tobytes() == b.predict(X).tobytes()
    train(a, x=x), train(b)
    same_bytes(a.weights(), b.weights())


def test_a_ragged_batch_between_full_ones_disturbs_nothing():
    """Whatever sizes went before, each pass is that of a network which never saw another batch."""
    network = every_layer()
    for step, rows in enumerate((12, 5, 1, 12, 7, 4)):
        alone = every_layer()
        network.arena.step = alone.arena.step = step  # with the masks of this step in both
        alone.set_weights(network.weights())  # running statistics too: the batches before have moved them
        dy = RNG.normal(size=(rows, 6)).astype(np.float32)
        passes = []
        for each in (network, alone):
            y = forward(each, X[:rows], training=True)
            dx = backward(each, dy, input_gradient=True)
            gradients = {name: host(gradient).copy() for name, _, gradient in each.parameters()}
            passes.append({"y": y, "dx": dx} | gradients | {"inference": forward(each, X[:rows])})
        assert any(passes[0]["dense_1.W"].ravel()) == (rows > 1)  # a batch of one is normalized to zero
        for name, value in passes[0].items():
            np.testing.assert_array_equal(value, passes[1][name], err_msg=f"{name} of {rows} rows")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("final", "loss"),
    [
        (nnx.Sigmoid, nnx.BinaryCrossEntropy),
        (nnx.Softmax, nnx.CategoricalCrossEntropy),
        (nnx.Identity, nnx.MeanSquaredError),
    ],
)
def test_fused_and_plain_agree(final, loss, dtype):
    y = np.eye(2)[RNG.integers(0, 2, 12)]
    results = []
    for fuse in (True, False):
        layers = [nnx.Dense(3, 5), nnx.Tanh(), nnx.Dense(4), nnx.ELU(), nnx.Dense(4), nnx.Softplus(),
                  nnx.Dense(2), final()]  # fmt: skip
        network = nnx.Network(layers, seed=0, dtype=dtype, fuse=fuse)
        history = train(network, nnx.SGD(0.1), y=y, loss=loss(), epochs=5)
        results.append((network.predict(X), history["loss"]))
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=tolerance)


def test_a_slice_has_its_own_plans():
    network = small()
    forward(network, X, training=True)
    expected = small()
    forward(expected, X, training=True)
    backward(expected, Y)
    other = network[:2]
    forward(other, X[::-1].copy(), training=True)
    other.predict(X[:3])
    backward(network, Y)
    np.testing.assert_array_equal(host(network[0].dW), host(expected[0].dW))
