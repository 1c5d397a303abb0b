"""Optimizers: closed forms, and options that are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.optimizers import GRADIENT, START, every_optimizer, network_of, steps

import nnx
from nnx.backends import Backend
from nnx.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("on_cpu")

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
