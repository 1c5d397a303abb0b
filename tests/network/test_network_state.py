"""Who owns parameters: views, freezing, copies, layers alone, several threads, seeds."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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

# ----------------------------------------------------------------- parameters


def address(array):
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def lies_within(view, array):
    return address(array) <= address(view) < address(array) + array.nbytes


def test_parameters_are_views_that_write_through():
    network = small()
    for name, value, gradient in network.parameters():
        value[...] = 0.5
        gradient[...] = 0.25
        assert lies_within(value, network.arena.values), name
        assert lies_within(gradient, network.arena.gradients), name
    assert (network[0].W == 0.5).all()
    assert (network[4].b == 0.5).all()
    nnx.SGD(1.0).step(network)
    assert all((value == 0.25).all() for _, value, _ in network.parameters())


def test_parameters_start_on_cache_lines_and_padding_stays_zero():
    network = small()
    base = address(network.arena.values)
    used = np.zeros(network.arena.values.size, bool)
    for layer in network.layers:
        for name in layer.parameter_shapes():
            view = getattr(layer, name)
            start = (address(view) - base) // view.itemsize
            assert start * view.itemsize % 64 == 0
            used[start : start + view.size] = True
    train(network, nnx.AdamW(0.1, l2=0.1))
    assert not host(network.arena.values)[~used].any()


def test_weights_are_copies_and_set_weights_puts_them_back():
    network = every_layer()
    before = network.weights()
    assert "batchnorm_1.running_variance" in before
    train(network, y=np.ones((12, 6)))
    assert any(before[name].tobytes() != value.tobytes() for name, value in network.weights().items())
    network.set_weights(before)
    same_bytes(before, network.weights())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: w.pop("dense_1.W"),
        lambda w: w.update(extra=np.zeros(3)),
        lambda w: w.update({"dense_3.b": np.zeros(3)}),
    ],
)
def test_weights_that_do_not_fit_change_nothing(spoil):
    network = small()
    before = network.weights()
    wrong = {name: value + 1.0 for name, value in before.items()}
    spoil(wrong)
    with pytest.raises(nnx.DataError, match=r"dense_1\.W|extra|dense_3\.b"):
        network.set_weights(wrong)
    same_bytes(before, network.weights())


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("frozen", [(0,), (2,), (4,), (0, 2), (0, 4), (0, 2, 4)])
def test_frozen_layers_keep_their_values(name, frozen):
    network = small()
    for index in frozen:
        network[index].trainable = False
    before = network.weights()
    train(network, OPTIMIZERS[name]())
    after = network.weights()
    names = {network[index].name for index in frozen}
    for key in before:
        changed = before[key].tobytes() != after[key].tobytes()
        assert changed == (key.split(".")[0] not in names), key


def test_freezing_takes_effect_between_steps_and_can_be_undone():
    network, optimizer = small(), nnx.Adam(0.01)
    train(network, optimizer)
    network[0].trainable = False
    before = network[0].W.copy()
    train(network, optimizer)
    assert network[0].W.tobytes() == before.tobytes()
    network[0].trainable = True
    train(network, optimizer)
    assert network[0].W.tobytes() != before.tobytes()


def test_trainable_neighbours_are_updated_in_one_call():
    network = small()
    arena = network.arena

    def spans():
        return list(arena.spans(0, len(network)))

    assert spans() == [slice(0, arena.values.size)]
    network[2].trainable = False
    assert len(spans()) == 2
    network[0].trainable = False
    assert len(spans()) == 1
    network[4].trainable = False
    assert spans() == []
    with pytest.warns(DeprecationWarning, match=r"nnx\.parameters\.Span"):
        assert nnx.parameters.Optimized is nnx.parameters.Span


# --------------------------------------------------------------------- copies


@pytest.mark.parametrize(
    "duplicate", [lambda n: n.copy(), copy.deepcopy, copy.copy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_copies_are_equal_and_independent(duplicate):
    network = every_layer()
    network[4].trainable = False
    network.encoder_length = 3
    train(network, y=np.ones((12, 6)))
    twin = duplicate(network)
    same_bytes(network.weights(), twin.weights())
    assert twin.encoder_length == 3
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in network.layers]
    assert twin.seed == network.seed
    assert twin.predict(X).tobytes() == network.predict(X).tobytes()
    before = network.weights()
    train(twin, y=np.zeros((12, 6)))
    same_bytes(before, network.weights())


def test_the_old_name_of_encoder_length_works_with_a_warning(tmp_path):
    """In version 0.1 it was `network.code`; files still have that name."""
    network = every_layer()
    with pytest.warns(DeprecationWarning, match=r"network\.code is now network\.encoder_length") as seen:
        network.code = 3
    assert network.encoder_length == 3
    with pytest.warns(DeprecationWarning, match=r"network\.code is now network\.encoder_length") as read:
        assert network.code == 3
    assert {Path(warning.filename) for warning in [*seen, *read]} == {Path(__file__)}
    assert network.config()["code"] == 3
    network.save(tmp_path / "model.safetensors")
    assert nnx.load(tmp_path / "model.safetensors").encoder_length == 3


@pytest.mark.parametrize("length", [0, -1, 99, 1.5, "2"])
def test_an_encoder_leaves_a_layer_on_both_sides(length):
    network = every_layer()
    network.encoder_length = len(network) - 1
    with pytest.raises(nnx.ConfigurationError, match="encoder_length must be"):
        network.encoder_length = length
    assert network.encoder_length == len(network) - 1


class Own(nnx.Network):
    """A network of a user's class."""


@pytest.mark.parametrize("duplicate", [lambda n: n.copy(), lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_is_of_the_same_class(duplicate):
    network = Own([nnx.Dense(3, 2)], seed=0)
    twin = duplicate(network)
    assert type(twin) is Own
    same_bytes(network.weights(), twin.weights())


def test_the_class_is_found_where_pickles_of_version_0_1_look_for_it():
    network = pickle.loads(b"cnnx.network\nNetwork\n.")  # the stream of a class is its module and name
    assert network is nnx.Network


def test_a_state_set_in_a_network_in_use_replaces_its_arena():
    network, other = (nnx.Network([nnx.Dense(3, 2)], seed=seed) for seed in (0, 1))
    assert network.arena is not other.arena
    network.__setstate__(other.__getstate__())
    network.arena.values[...] = 1.0
    assert (network[0].W == 1.0).all()


def test_a_network_without_weights_can_be_copied():
    def wide():
        layers = [nnx.Dense(400, initializer=nnx.initializers.Normal(5.0)), nnx.Dense(2)]
        return nnx.Network(layers, seed=5)

    network, built = wide(), wide().build(3)
    for twin in (network.copy(), pickle.loads(pickle.dumps(network))):
        assert twin.inputs is None
        twin.build(3)
        assert float(twin[0].W.std()) == pytest.approx(5.0, rel=0.1)  # 1200 draws: 2 % is one deviation
        same_bytes(twin.weights(), built.weights())
    assert network.inputs is None


def test_to_works_in_place_and_keeps_optimizer_state():
    network, still = small(), small()
    optimizer, other = nnx.Adam(0.01), nnx.Adam(0.01)
    train(network, optimizer), train(still, other)
    assert network.to(network.backend.name) is network
    train(network, optimizer), train(still, other)
    same_bytes(network.weights(), still.weights())


def test_moving_to_another_backend_forgets_nothing():
    network, still = every_layer(), every_layer()
    optimizer, other = nnx.Adam(0.01), nnx.Adam(0.01)
    y = np.ones((12, 6))
    train(network, optimizer, y=y), train(still, other, y=y)
    moved = type(network.backend)()
    network.to(moved)
    assert network.backend is moved
    assert network[0].W.base is not None
    assert lies_within(network[0].W, network.arena.values)
    train(network, optimizer, y=y), train(still, other, y=y)
    same_bytes(network.weights(), still.weights())


# ---------------------------------------------------------- layers used alone


def test_a_layer_works_alone():
    layer = nnx.Dense(3, 4, seed=0)
    y = layer.forward(X)
    W, b = host(layer.W), host(layer.b)
    np.testing.assert_allclose(host(y), X @ W + b, rtol=1e-5, atol=1e-6)
    dx = layer.backward(np.ones(y.shape, np.float32))
    np.testing.assert_allclose(host(dx), np.ones(y.shape) @ W.T, rtol=1e-5)
    np.testing.assert_allclose(host(layer.db), 12.0)
    assert layer.W.tobytes() == nnx.Dense(3, 4, seed=0).build().W.tobytes()


def test_a_layer_alone_applies_its_activation():
    layer = nnx.Dense(3, 4, activation="relu", seed=0)
    y = host(layer.forward(X))
    expected = np.maximum(X @ host(layer.W) + host(layer.b), 0.0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert (y == 0).any()


def test_a_layer_alone_infers_its_width():
    layer = nnx.Dense(4, seed=0)
    assert layer.forward(X).shape == (12, 4)
    assert layer.W.shape == (3, 4)
    with pytest.raises(nnx.ConfigurationError, match="number of inputs is not known"):
        nnx.Dense(4).build()


def test_a_layer_keeps_its_values_when_given_to_a_network():
    layer = nnx.Dense(3, 4, seed=9, activation="relu")
    alone, W = host(layer.forward(X)).copy(), host(layer.W).copy()
    network = nnx.Network([layer, nnx.Dense(2)], seed=0)
    np.testing.assert_array_equal(host(layer.W), W)
    assert lies_within(layer.W, network.arena.values)
    np.testing.assert_array_equal(network[:2].predict(X), alone)


def test_a_layer_belongs_to_one_network():
    layer = nnx.Dense(3, 4)
    network = nnx.Network([layer])
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network([layer])
    with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
        nnx.Network(list(network.layers))
    other = nnx.ReLU()
    with pytest.raises(nnx.ConfigurationError, match="already belongs"):
        nnx.Network([nnx.Dense(3, 3), other, nnx.Dense(3), other])
    with pytest.raises(nnx.ConfigurationError, match="belongs to a network"):
        layer.build(3)


def test_layers_of_a_network_that_could_not_be_built_are_free():
    layer = nnx.Dense(3, 4, activation="relu")
    with pytest.raises(nnx.ConfigurationError, match="expects 5 inputs"):
        nnx.Network([layer, nnx.Dense(5, 2)])
    assert [type(part).__name__ for part in nnx.Network([layer, nnx.Dense(4, 2)]).layers] == [
        "Dense", "ReLU", "Dense",
    ]  # fmt: skip


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


def test_predict_between_forward_and_backward_changes_no_gradient():
    a, b = every_layer(), every_layer()
    for network, interrupt in ((a, False), (b, True)):
        forward(network, X, training=True)
        if interrupt:
            network.predict(X[::-1])
        backward(network, np.ones((12, 6), np.float32))
    assert a.arena.gradients.tobytes() == b.arena.gradients.tobytes()


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


def test_without_a_seed_one_is_drawn_and_told():
    a, b = small(seed=None), small(seed=None)
    assert a.seed != b.seed
    same_bytes(a.weights(), small(seed=a.seed).weights())


def test_both_dtypes_start_from_the_same_draw():
    single, double = small(dtype="float32").weights(), small(dtype="float64").weights()
    for name in single:
        np.testing.assert_array_equal(single[name], double[name].astype(np.float32))
