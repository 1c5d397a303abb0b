"""The tables of an epoch hold what each of its steps would have computed itself."""

from __future__ import annotations

import numpy as np

import nnx
from nnx.layers.base import walk
from nnx.ops.dropout import halves
from nnx.ops.updates import corrected_rate
from nnx.training.tables import Tables

STEPS, ROWS, BATCH = 3, 10, 4


def made(optimizer):
    layers = [nnx.Dense(3, 4), nnx.Dropout(0.2), nnx.Residual([nnx.Dense(4), nnx.Dropout(0.1)])]
    network = nnx.Network(layers, device="numpy", dtype="float64", seed=7)
    kept, _ = optimizer.state_for(network)
    network.arena.step = kept.step = 5
    dropouts = [layer for layer in walk(network.layers) if isinstance(layer, nnx.Dropout)]
    rules = optimizer.rules(network)
    return network, kept, Tables(network.arena, kept, STEPS, ROWS, BATCH, dropouts, rules)


def test_each_step_has_its_numbers():
    schedule = nnx.schedules.Exponential(0.1, 2, 0.5)
    network, kept, tables = made(nnx.Adam(schedule, weight_decay=0.01))
    kept.scale = 0.5
    order = np.random.default_rng(0).permutation(ROWS)
    tables.prepare(order, 1)  # the first step was taken already
    np.testing.assert_array_equal(tables.counter, [1, 1])
    np.testing.assert_array_equal(tables.order.values, order)
    assert tables.order.width == BATCH
    for step in (1, 2):
        done = 5 + step - 1
        rate = 0.5 * schedule(done)
        numbers = tables.numbers.values[2 * step : 2 * step + 2]
        expected = corrected_rate(rate, done + 1, 0.9, 0.999), 1.0 - rate * 0.01
        np.testing.assert_array_equal(numbers, expected)
        for layer in walk(network.layers):
            if isinstance(layer, nnx.Dropout):
                keys = tables.keys[layer.index]
                at = step * keys.width + keys.first
                found = tuple(map(int, keys.values[at : at + 2]))
                assert found == halves(layer.key(7, done))
    assert len(tables.keys) == 2


def test_each_group_has_its_numbers():
    optimizer = nnx.SGD(0.1, groups={"*.b": {"learning_rate": 0.3, "weight_decay": 0.5}})
    _, _, tables = made(optimizer)
    tables.prepare(None, 0)
    numbers = tables.numbers.values.reshape(STEPS, -1, 2)
    assert [rule.learning_rate for rule in tables.rules] == [0.1, 0.3] * 2
    np.testing.assert_array_equal(numbers[1], [(0.1, 1.0), (0.3, 1.0 - 0.3 * 0.5)] * 2)


def test_a_rate_that_was_changed_is_stale():
    optimizer = nnx.SGD(0.1)
    _, kept, tables = made(optimizer)
    tables.prepare(None, 0)
    assert not tables.stale(0)
    optimizer.learning_rate = 0.05
    assert tables.stale(0)
    kept.scale = 2.0
    assert not tables.stale(0)
