"""Optimizers and schedules: closed forms, frozen parameters, and refused options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("on_cpu")

START = np.array([[0.5, -1.0], [2.0, 0.25]])
GRADIENT = np.array([[0.1, -2.0], [1e-3, 30.0]])
ALL = [
    nnx.SGD, nnx.Adam, nnx.AdamW, nnx.RMSprop, nnx.Adagrad,
    lambda *a, **k: nnx.SGD(*a, momentum=0.9, **k), lambda *a, **k: nnx.RMSprop(*a, momentum=0.9, **k),
]  # fmt: skip
IDS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "SGD-momentum", "RMSprop-momentum"]
every_optimizer = pytest.mark.parametrize("make", ALL, ids=IDS)


def network_of(backend: Backend, layers: int = 1) -> nnx.Network:
    """`layers` maps of two numbers to two, W at START and b at zero."""
    network = nnx.Network([nnx.Dense(2, 2) for _ in range(layers)], device=backend, dtype="float64", seed=0)
    for layer in network.layers:
        layer.W[...] = backend.asarray(START)
        layer.dW[...] = backend.asarray(GRADIENT)
    return network


def steps(backend: Backend, optimizer: nnx.Optimizer, count: int = 1) -> np.ndarray:
    """W after `count` steps with the same gradient."""
    network = network_of(backend)
    for _ in range(count):
        optimizer.step(network)
    return backend.to_numpy(network.layers[0].W)


# ----------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (nnx.SGD(0.1), 0.1 * GRADIENT),
        (nnx.SGD(0.1, momentum=0.9), 0.1 * GRADIENT),
        (nnx.SGD(0.1, momentum=0.9, nesterov=True), 0.1 * GRADIENT * 1.9),
        # m = (1−β₁) g and v = (1−β₂) g² cancel with their corrections
        (nnx.Adam(0.1), 0.1 * GRADIENT / (np.abs(GRADIENT) + 1e-7 / math.sqrt(1e-3))),
        (nnx.RMSprop(0.1), 0.1 * GRADIENT / np.sqrt(0.1 * GRADIENT**2 + 1e-7)),
        (nnx.Adagrad(0.1), 0.1 * GRADIENT / np.sqrt(0.1 + GRADIENT**2 + 1e-7)),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray) else repr(value),
)
def test_first_step(backend: Backend, optimizer: nnx.Optimizer, update: np.ndarray) -> None:
    np.testing.assert_allclose(steps(backend, optimizer), START - update, rtol=1e-12)


def test_momentum_adds_up_to_a_geometric_series(backend: Backend) -> None:
    # u_t = −η g (1 − μᵗ) / (1 − μ), and w is their sum
    mu, t = 0.9, np.arange(1, 8)
    total = np.sum((1 - mu**t) / (1 - mu))
    expected = START - 0.01 * GRADIENT * total
    np.testing.assert_allclose(steps(backend, nnx.SGD(0.01, mu), 7), expected, rtol=1e-12)


def test_adam_walks_at_the_learning_rate_under_a_constant_gradient(backend: Backend) -> None:
    # m̂ = g and v̂ = g² at every step, so each is η sign(g)
    expected = START - 9 * 0.01 * np.sign(GRADIENT)
    np.testing.assert_allclose(steps(backend, nnx.Adam(0.01, epsilon=1e-12), 9), expected, rtol=1e-7)


def test_adagrad_slows_as_one_over_the_root_of_the_step(backend: Backend) -> None:
    expected = START - 0.01 * np.sign(GRADIENT) * np.sum(1 / np.sqrt(np.arange(1, 10)))
    optimizer = nnx.Adagrad(0.01, initial_accumulator=0.0, epsilon=1e-16)
    np.testing.assert_allclose(steps(backend, optimizer, 9), expected, rtol=1e-8)


@every_optimizer
def test_weight_decay_shrinks_weights_by_itself(backend: Backend, make: Any) -> None:
    network = network_of(backend)
    network.layers[0].dW[...] = 0.0
    optimizer = make(0.1, weight_decay=0.2)
    for _ in range(3):
        optimizer.step(network)
    np.testing.assert_allclose(
        backend.to_numpy(network.layers[0].W), START * (1 - 0.1 * 0.2) ** 3, rtol=1e-13
    )


@every_optimizer
def test_l2_is_a_term_of_the_gradient(backend: Backend, make: Any) -> None:
    network = network_of(backend)
    network.layers[0].dW[...] = backend.asarray(GRADIENT + 0.3 * START)
    make(0.1).step(network)
    np.testing.assert_allclose(
        steps(backend, make(0.1, l2=0.3)), backend.to_numpy(network.layers[0].W), rtol=1e-13
    )


def test_adamw_is_adam_with_a_decay(backend: Backend) -> None:
    np.testing.assert_array_equal(
        steps(backend, nnx.AdamW(0.1), 5), steps(backend, nnx.Adam(0.1, weight_decay=0.004), 5)
    )


@every_optimizer
def test_a_convex_bowl_is_descended(backend: Backend, make: Any) -> None:
    network = network_of(backend)
    optimizer = make(0.02)
    layer = network.layers[0]
    distances = []
    for _ in range(300):
        layer.dW[...] = layer.W
        optimizer.step(network)
        distances.append(float(np.linalg.norm(backend.to_numpy(layer.W))))
    assert distances[-1] < 0.75 * np.linalg.norm(START)


# -------------------------------------------------------------------------------- clipping


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


# ------------------------------------------------------------------------ what is left alone


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


# ------------------------------------------------------------------------ whose state it is


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


# -------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (nnx.Constant(0.3), {0: 0.3, 10**6: 0.3}),
        (nnx.Step(1.0, every=10), {0: 1.0, 9: 1.0, 10: 0.1, 19: 0.1, 20: 0.01}),
        (nnx.Exponential(1.0, steps=10, factor=0.25), {0: 1.0, 5: 0.5, 10: 0.25, 20: 0.0625}),
        (nnx.Cosine(1.0, steps=100), {0: 1.0, 25: 0.5 + math.sqrt(0.125), 50: 0.5, 100: 0.0, 999: 0.0}),
        (nnx.Cosine(1.0, steps=10, final=0.2), {0: 1.0, 5: 0.6, 10: 0.2, 11: 0.2}),
        (nnx.Warmup(0.8, steps=4), {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 0.8, 99: 0.8}),
        (nnx.Warmup(nnx.Cosine(1.0, 10), 2), {0: 0.5, 1: 1.0, 2: 1.0, 7: 0.5, 12: 0.0}),
        (nnx.Warmup(nnx.Step(1.0, 3), 1), {0: 1.0, 1: 1.0, 3: 1.0, 4: 0.1}),
    ],
    ids=repr,
)
def test_schedules(schedule: nnx.Schedule, expected: dict[int, float]) -> None:
    for step, rate in expected.items():
        assert schedule(step) == pytest.approx(rate, abs=1e-15)


def test_a_schedule_is_followed_step_by_step(backend: Backend) -> None:
    schedule = nnx.Cosine(0.1, 5)
    total = sum(schedule(step) for step in range(4))
    np.testing.assert_allclose(steps(backend, nnx.SGD(schedule), 4), START - total * GRADIENT, rtol=1e-12)
    assert nnx.Adam(schedule).schedule(5) == 0.0
    assert nnx.Adam(0.25).schedule(10**9) == 0.25


# -------------------------------------------------------------------------------- bad options


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nnx.SGD(-0.1), r"the learning rate must lie in \[0, inf\), not -0.1"),
        (lambda: nnx.Adam(math.nan), "the learning rate must lie in"),
        (lambda: nnx.Adam("fast"), "learning rate must be a number or a schedule, not 'fast'"),
        (lambda: nnx.SGD(0.1, momentum=1.0), r"SGD: momentum must lie in \[0, 1\), not 1.0"),
        (lambda: nnx.SGD(0.1, nesterov=True), "SGD: nesterov=True needs a momentum"),
        (lambda: nnx.SGD(0.1, weight_decay=-1), r"SGD: weight_decay must lie in \[0, inf\), not -1"),
        (lambda: nnx.Adam(0.1, beta1=1.0), r"Adam: beta1 must lie in \[0, 1\)"),
        (lambda: nnx.AdamW(0.1, beta2=-0.1), r"AdamW: beta2 must lie in \[0, 1\)"),
        (lambda: nnx.Adam(0.1, epsilon=0), r"Adam: epsilon must lie in \(0, inf\)"),
        (lambda: nnx.RMSprop(0.1, rho=2), r"RMSprop: rho must lie in \[0, 1\)"),
        (lambda: nnx.Adagrad(0.1, initial_accumulator=-1), "Adagrad: initial_accumulator must lie in"),
        (lambda: nnx.Adam(0.1, clip_norm=0), r"Adam: clip_norm must lie in \(0, inf\), not 0"),
        (lambda: nnx.Adam(0.1, clip_value=-1), "Adam: clip_value must lie in"),
        (lambda: nnx.Adam(0.1, l2=math.inf), "Adam: l2 must lie in"),
        (lambda: nnx.Cosine(0.1, 0), "Cosine: steps must be a positive integer, not 0"),
        (lambda: nnx.Step(0.1, 2.5), "Step: every must be a positive integer, not 2.5"),
        (lambda: nnx.Exponential(-1, 2, 0.5), "Exponential: the learning rate must lie in"),
        (lambda: nnx.Warmup(0.1, True), "Warmup: steps must be a positive integer, not True"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()
