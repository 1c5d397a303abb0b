"""Copies and pickles of layers: they belong to no network, and have equal values of their own."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import nnx
from nnx.layers import KINDS
from nnx.layers.base import walk

WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
CASES = {
    f"{kind.__name__} {number}": (kind, case)
    for kind in KINDS
    for number, case in enumerate(kind.record.cases)
}


def network_and_rows(kind, case):
    network = nnx.Network([case.made(kind)], dtype="float64", seed=1)
    x = case.options.get("x")
    if x is None:
        shape = network.input_shape or case.options.get("inputs", 4)
        x = np.random.default_rng(0).normal(size=(5, *np.atleast_1d(shape)))
    network.build(np.shape(x)[1:])
    for _, value, _ in network.parameters():
        value += 0.1  # no initial values, which a new layer would have too
    return network, np.asarray(x)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("name", CASES)
def test_a_network_of_copied_layers_computes_the_same(name, way):
    network, x = network_and_rows(*CASES[name])
    before = network.weights()
    copied = [WAYS[way](layer) for layer in network.layers]
    assert not any(layer.owned or layer.name or layer._plan for layer in copied)
    other = nnx.Network(copied, dtype="float64", seed=2).build(network.input_shape)
    np.testing.assert_array_equal(other.predict(x), network.predict(x))
    for name, value in other.weights().items():
        np.testing.assert_array_equal(value, before[name])
    for _, value, _ in other.parameters():
        value[...] = 7.0
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_can_be_used_alone_and_leaves_the_layer_in_its_network(way):
    network = nnx.Network([nnx.Dense(3, 4), nnx.Tanh(), nnx.Dense(2)], seed=0)
    layer = network.layers[2]
    layer.trainable = False
    copied = WAYS[way](layer)
    x = network.backend.asarray(np.ones((2, 4), "float32"))
    assert copied.trainable is False
    assert copied.arena.backend is network.backend
    np.testing.assert_array_equal(*(network.backend.to_numpy(one.forward(x)) for one in (copied, layer)))
    assert layer is network.layers[2]
    assert (layer.name, layer.owned, layer.arena) == ("dense_2", True, network.arena)


@pytest.mark.parametrize("way", WAYS)
def test_a_container_and_its_copy_share_no_layer(way):
    block = nnx.Residual([nnx.Dense(3), nnx.BatchNorm(), nnx.Sequential([nnx.Dense(3)])])
    network = nnx.Network([nnx.Dense(3, 3), block], seed=0)
    for original in (block, nnx.Residual([nnx.Dense(3)])):  # built and not built
        copied = WAYS[way](original)
        assert not {id(one) for one in walk([copied])} & {id(one) for one in walk([original])}
        inner = list(walk([copied]))[1:]
        assert all(layer.owned for layer in inner)
        with pytest.raises(nnx.ConfigurationError, match="already belongs to a network"):
            nnx.Network([inner[0]])
    assert [layer.name for layer in walk([block])] == [
        "residual_1", "residual_1.dense_1", "residual_1.batchnorm_1", "residual_1.sequential_1",
        "residual_1.sequential_1.dense_1",
    ]  # fmt: skip
    assert all(layer.arena is network.arena for layer in walk([block]))


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_layers_copied_together_stay_tied(way, built):
    first = nnx.Dense(3)
    layers = [first, nnx.Tanh(), nnx.TiedDense(first)]
    x = np.random.default_rng(0).normal(size=(4, 5))
    if built:
        network = nnx.Network(layers, dtype="float64", seed=0).build(5)
    copied = WAYS[way](layers)
    other = nnx.Network([nnx.Identity(), *copied], dtype="float64", seed=3).build(5)
    assert other.layers[3].other is copied[0]
    if built:
        np.testing.assert_array_equal(other.predict(x), network.predict(x))


def test_a_tied_layer_copied_alone_says_what_it_needs():
    first = nnx.Dense(3)
    nnx.Network([first, nnx.TiedDense(first)], seed=0).build(5)
    network = nnx.Network([first_copy := copy.deepcopy(first), tied := nnx.TiedDense(first_copy)]).build(5)
    alone = copy.deepcopy(tied)
    with pytest.raises(nnx.ConfigurationError, match="needs the weights of a Dense layer"):
        alone.forward(np.ones((1, 3), "float32"))
    assert network.layers[1].other is first_copy


class Scaled(nnx.layers.Layer):
    """A layer whose `config` lacks the argument of its constructor, with an array and another view of W."""

    def __init__(self, factors):
        super().__init__()
        self.factors = np.asarray(factors)

    def parameter_shapes(self):
        return {"W": (2, self.inputs)}

    def bind(self, arena, views):
        super().bind(arena, views)
        self.last = self.W[-1]

    def forward_into(self, x, y, workspace):
        y[...] = x * self.last * workspace.backend.xp.asarray(self.factors)


def test_a_users_layer_needs_no_complete_config_and_its_own_views_stay_views():
    network = nnx.Network([Scaled([1.0, 2.0])], device="cpu").build(2)
    network.layers[0].W[...] = 3.0
    copied = copy.deepcopy(network.layers[0])
    assert np.shares_memory(copied.last, copied.W)
    copied.W[...] = 5.0
    np.testing.assert_array_equal(copied.forward(np.ones((1, 2), "float32")), [[5.0, 10.0]])
    np.testing.assert_array_equal(network.predict(np.ones((1, 2))), [[3.0, 6.0]])
    assert copied.factors is not network.layers[0].factors
