"""What all optimizers share: clipping, what a step leaves alone, and whose state it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.optimizers import GRADIENT, START, every_optimizer, network_of, steps

import nnx
from nnx.backends import Backend

pytestmark = pytest.mark.usefixtures("on_cpu")


def test_the_norm_is_that_of_all_layers_together(backend: Backend) -> None:
    network = network_of(backend, layers=3)
    norm = math.sqrt(3) * np.linalg.norm(GRADIENT)
    nnx.SGD(1.0, clip_norm=0.6).step(network)
    for layer in network.layers:
        np.testing.assert_allclose(backend.to_numpy(layer.W), START - GRADIENT * 0.6 / norm, rtol=1e-12)


def test_a_norm_within_the_limit_changes_nothing(backend: Backend) -> None:
    limit = float(np.linalg.norm(GRADIENT)) * 1.001
    np.testing.assert_array_equal(steps(backend, nnx.SGD(0.1, clip_norm=limit)), steps(backend, nnx.SGD(0.1)))


def test_values_are_clipped_before_the_norm(backend: Backend) -> None:
    clipped = np.clip(GRADIENT, -1.0, 1.0)
    found = steps(backend, nnx.SGD(1.0, clip_value=1.0, clip_norm=0.5))
    np.testing.assert_allclose(found, START - clipped * 0.5 / np.linalg.norm(clipped), rtol=1e-12)


@every_optimizer
def test_a_frozen_layer_is_neither_moved_nor_counted(backend: Backend, make: Any) -> None:
    network = network_of(backend, layers=3)
    network.layers[1].trainable = False
    network.layers[1].dW[...] = 1e6  # in the norm, this would leave nothing of the others
    make(0.1, clip_norm=1e3).step(network)
    np.testing.assert_array_equal(backend.to_numpy(network.layers[1].W), START)
    free = steps(backend, make(0.1, clip_norm=1e3))
    for layer in (network.layers[0], network.layers[2]):
        np.testing.assert_allclose(backend.to_numpy(layer.W), free, rtol=1e-13)
    network.layers[1].trainable = True
    network.layers[1].dW[...] = backend.asarray(GRADIENT)
    make(0.1).step(network)
    assert not np.array_equal(backend.to_numpy(network.layers[1].W), START)


@every_optimizer
def test_a_slice_moves_only_its_layers(backend: Backend, make: Any) -> None:
    network = network_of(backend, layers=3)
    make(0.1).step(network[1:2])
    for layer in (network.layers[0], network.layers[2]):
        np.testing.assert_array_equal(backend.to_numpy(layer.W), START)
    np.testing.assert_allclose(backend.to_numpy(network.layers[1].W), steps(backend, make(0.1)), rtol=1e-14)


@every_optimizer
def test_gradients_are_left_as_backward_wrote_them(backend: Backend, make: Any) -> None:
    network = network_of(backend)
    make(0.1, weight_decay=0.1, l2=0.1).step(network)
    np.testing.assert_array_equal(backend.to_numpy(network.layers[0].dW), GRADIENT)


@every_optimizer
def test_the_padding_between_layers_stays_zero(backend: Backend, make: Any) -> None:
    network = nnx.Network([nnx.Dense(3, 3), nnx.Dense(5)], device=backend, dtype="float64", seed=0)
    arena = network.arena
    for layer in network.layers:
        layer.dblock[...] = 1.0
    for _ in range(3):
        make(0.1, weight_decay=0.1).step(network)
    padding = backend.to_numpy(arena.gradients) == 0.0
    assert padding.sum() == arena.values.size - sum(layer.block.size for layer in network.layers)
    assert not backend.to_numpy(arena.values)[padding].any()


@every_optimizer
def test_a_fault_keeps_everything_as_it_was(backend: Backend, make: Any) -> None:
    network = network_of(backend)
    optimizer = make(0.1)
    optimizer.step(network)
    before = backend.to_numpy(network.arena.values).copy()
    network.layers[0].dW[...] = math.nan
    network.arena.fault[...] = 1
    optimizer.step(network)
    np.testing.assert_array_equal(backend.to_numpy(network.arena.values), before)


def test_one_object_serves_several_networks(backend: Backend) -> None:
    shared, first, second = nnx.Adam(0.1), network_of(backend), network_of(backend)
    for _ in range(3):
        shared.step(first)
        first.layers[0].dW[...] *= 0.5
    for _ in range(3):
        shared.step(second)
        second.layers[0].dW[...] *= 0.5
    np.testing.assert_array_equal(backend.to_numpy(first.layers[0].W), backend.to_numpy(second.layers[0].W))
    assert first.arena.step == second.arena.step == 3


def test_two_optimizers_on_two_slices_keep_a_state_each(backend: Backend) -> None:
    """Each its own moments and its own step, as if its slice were a network of its own."""
    network, left, right = network_of(backend, 3), network_of(backend), network_of(backend, 2)

    def slope(count: int) -> np.ndarray:  # another gradient at each step, so that moments matter
        return GRADIENT * (1.0 + count) * (-1.0) ** count

    def make() -> tuple[nnx.Optimizer, nnx.Optimizer]:
        return nnx.Adam(nnx.Exponential(0.1, 2, 0.5)), nnx.SGD(0.1, momentum=0.9)

    (first, second), (alone, other) = make(), make()
    for count in range(5):
        for layer in (*network.layers, *left.layers, *right.layers):
            layer.dW[...] = backend.asarray(slope(count))
        first.step(network[:1])
        alone.step(left)
        if count % 2 == 0:  # at a pace of its own
            second.step(network[1:])
            other.step(right)
    for layer, expected in zip(network.layers, (*left.layers, *right.layers), strict=True):
        np.testing.assert_allclose(
            backend.to_numpy(layer.W), backend.to_numpy(expected.W), rtol=1e-13, err_msg=layer.name
        )


def test_another_optimizer_starts_with_new_moments(backend: Backend) -> None:
    network = network_of(backend)
    for _ in range(3):
        nnx.Adam(0.1).step(network)  # three objects: each takes a first step
    assert network.arena.step == 3
    expected = START - 3 * 0.1 * GRADIENT / (np.abs(GRADIENT) + 1e-7 / math.sqrt(1e-3))
    np.testing.assert_allclose(backend.to_numpy(network.layers[0].W), expected, rtol=1e-12)


def test_state_moves_with_the_network(backend: Backend) -> None:
    moved, stayed, optimizer = network_of(backend), network_of(backend), nnx.Adam(0.1)
    optimizer.step(moved)
    optimizer.step(stayed)
    moved.arena.to(backend)  # new buffers, even on the same device
    optimizer.step(moved)
    optimizer.step(stayed)
    np.testing.assert_array_equal(backend.to_numpy(moved.layers[0].W), backend.to_numpy(stayed.layers[0].W))
