"""Networks: training, predictions and slices, also from several threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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
    same_bytes,
    small,
    train,
)

import nnx

pytestmark = pytest.mark.usefixtures("device")


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


# ------------------------------------------------- prediction next to training


def test_predict_during_training_leaves_training_undisturbed():
    class Interrupt(nnx.Callback):
        def on_step_end(self, run):
            run.network.predict(X[:3])
            run.network[:2].predict(X)
            forward(run.network, X[:7])

    a, b = every_layer(), every_layer()
    y = np.ones((12, 6), np.float32)
    ha, hb = train(a, y=y), train(b, y=y, callbacks=[Interrupt()])
    assert ha["loss"] == hb["loss"]
    same_bytes(a.weights(), b.weights())


def test_predict_is_the_same_in_batches_of_any_size():
    network = every_layer()
    x = RNG.normal(size=(103, 3))
    whole = network.predict(x, batch_size=1000)
    for rows in (1, 7, 103):
        np.testing.assert_allclose(network.predict(x, batch_size=rows), whole, rtol=1e-5, atol=1e-7)


def test_concurrent_predictions_equal_serial_ones():
    layers = [nnx.Dense(40, 300), nnx.Tanh(), nnx.Dense(300), nnx.Sigmoid(), nnx.Dense(4)]
    network = nnx.Network(layers, seed=0)
    pieces = [RNG.normal(size=(256, 40)).astype(np.float32) for _ in range(24)]
    serial = [network.predict(piece) for piece in pieces]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(network.predict, pieces))
    for left, right in zip(serial, threaded, strict=True):
        assert left.tobytes() == right.tobytes()


def test_networks_trained_in_threads_give_the_numbers_they_give_alone():
    def work(seed):
        network = every_layer(seed=seed)
        history = train(network, y=np.ones((12, 6)), epochs=10)
        return network.weights(), history["loss"]

    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    for (weights, losses), (threaded, threaded_losses) in zip(alone, together, strict=True):
        same_bytes(weights, threaded)
        assert losses == threaded_losses


def test_first_predictions_of_an_unbuilt_network_from_threads():
    network = nnx.Network([nnx.Dense(64), nnx.Tanh(), nnx.Dense(2)], seed=0)
    barrier = threading.Barrier(6)

    def first(_):
        barrier.wait()
        return network.predict(X)

    with ThreadPoolExecutor(6) as pool:
        results = {result.tobytes() for result in pool.map(first, range(6))}
    assert results == {network.predict(X).tobytes()}


def test_the_same_seed_gives_the_same_run_byte_for_byte():
    def run(seed):
        network = every_layer(seed=seed)
        first = network.weights()
        history = train(network, y=np.ones((12, 6)))
        return first, network.weights(), history.metrics

    one, two, other = run(4), run(4), run(5)
    same_bytes(one[0], two[0])
    same_bytes(one[1], two[1])
    assert one[2] == two[2]
    assert one[0]["dense_1.W"].tobytes() != other[0]["dense_1.W"].tobytes()
