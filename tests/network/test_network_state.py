"""Who owns parameters: views, freezing, copies, layers alone, several threads, seeds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.small_networks import (
    RNG,
    X,
    every_layer,
    forward,
    same_bytes,
    train,
)

import nnx

pytestmark = pytest.mark.usefixtures("device")

# ------------------------------------------------- prediction beside training


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


# ---------------------------------------------------------------------- seeds


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
