"""A network's values by name, and its copies, files and pickles."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.small_networks import (
    RNG,
    X,
    every_layer,
    same_bytes,
    small,
    train,
)

import nnx

pytestmark = pytest.mark.usefixtures("device")


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


def test_a_copy_begins_with_the_batches_and_masks_of_a_new_network():
    first = every_layer()
    start = first.weights()
    train(first, y=np.ones((12, 6)))
    twin = first.copy()
    twin.set_weights(start)
    train(twin, y=np.ones((12, 6)))
    same_bytes(first.weights(), twin.weights())


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


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 5)])
def test_a_slice_is_saved_copied_and_pickled_as_a_separate_network(part, tmp_path):
    network = small()
    piece = network[part]
    x = X if part.start == 0 else RNG.normal(size=(12, 5)).astype(np.float32)
    expected = piece.predict(x)
    piece.save(tmp_path / "part.safetensors")
    for twin in (
        nnx.load(tmp_path / "part.safetensors"), piece.copy(), copy.deepcopy(piece),
        pickle.loads(pickle.dumps(piece)),
    ):  # fmt: skip
        assert twin.predict(x).tobytes() == expected.tobytes()
        assert len(twin) == len(piece)
        train(twin, x=x, y=np.zeros_like(expected))
    assert piece.predict(x).tobytes() == expected.tobytes()
