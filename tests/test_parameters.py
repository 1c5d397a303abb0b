"""All parameters lie in one buffer: layers hold views, and a frozen layer divides it."""

from __future__ import annotations

import numpy as np
import pytest
from support.addresses import address, lies_within
from support.small_networks import OPTIMIZERS, host, small, train

import nnx

pytestmark = pytest.mark.usefixtures("device")


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


def shaped(shapes, states=None):
    """A layer whose parameters and states have these names."""

    class Odd(nnx.Layer):
        def parameter_shapes(self):
            return shapes

        def state_shapes(self):
            return states or {}

        def forward_into(self, x, y, cache):
            y[...] = x

    return Odd()


@pytest.mark.parametrize(
    ("shapes", "states", "name"),
    [
        ({"a": (2,), "da": (2,)}, {}, "da"), ({"a": (2,)}, {"a": (2,)}, "a"),
        ({"a": (2,)}, {"da": (2,)}, "da"),
        ({"forward": (2,)}, {}, "forward"), ({"inputs": (2,)}, {}, "inputs"), ({}, {"name": (1,)}, "name"),
    ],
)  # fmt: skip
def test_a_parameter_may_not_replace_what_its_layer_has(shapes, states, name):
    with pytest.raises(nnx.ConfigurationError, match=f"Odd: .*'{name}'"):
        shaped(shapes, states).build(2)
