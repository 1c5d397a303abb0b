"""One record defines an activation or a loss: with plain formulas alone, it runs on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backends import Backend
from nnx.layers.activations import Activation
from nnx.losses import Loss
from nnx.ops import activations, losses

PLAIN = Backend()


class Bent(Activation):
    """y = x² where x > 0, else 0; the derivative 2 √y is written in y."""

    kind = "bent"


class Quartic(Loss):
    """ℓ = (p − y)⁴."""

    kind = "quartic"


def quartic(ops: Any, y: Any, p: Any, parameter: float) -> tuple[Any, Any]:
    return ops.xp.sum((p - y) ** 4, axis=1), 4.0 * (p - y) ** 3


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain formulas, no form in place and no CUDA text."""
    bent = activations.Activation(
        forward=lambda ops, x, alpha: ops.xp.square(ops.xp.maximum(x, 0.0)),
        backward=lambda ops, dy, x, y, alpha: dy * (2.0 * ops.xp.sqrt(y)),
    )
    monkeypatch.setitem(activations.ACTIVATIONS, "bent", bent)
    monkeypatch.setitem(losses.LOSSES, "quartic", losses.RowLoss(quartic))


@pytest.mark.parametrize("fuse", [True, False])
def test_every_backend_computes_them(
    backend: Backend, dtype: np.dtype, fuse: bool, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(40, 6)).astype(dtype), rng.uniform(size=(40, 3)).astype(dtype)

    def trained(device: Backend) -> tuple[list[float], np.ndarray]:
        layers = [nnx.Dense(6, 80), Bent(), nnx.Dense(80), Bent(), nnx.Dense(3)]
        network = nnx.Network(layers, device=device, dtype=dtype, seed=0, fuse=fuse)
        history = network.fit(x, y, loss=Quartic(), optimizer=nnx.Adam(1e-3), epochs=5, batch_size=20)
        return history["loss"], network.predict(x)

    tolerance = 1e-9 if dtype == np.float64 else 1e-3  # what 10 steps of training make of rounding
    expected, predicted = trained(PLAIN)
    assert expected[-1] < expected[0]
    found, own = trained(backend)
    np.testing.assert_allclose(found, expected, rtol=tolerance)
    np.testing.assert_allclose(own, predicted, rtol=tolerance, atol=tolerance)


def test_their_gradients_are_right(backend: Backend) -> None:
    assert nnx.gradcheck.check(Bent(), device=backend).passed
    assert nnx.gradcheck.check(Quartic(), device=backend).passed


def test_where_an_activation_saturates_its_derivative_stays_as_it_is() -> None:
    """Inputs are limited before the derivative is taken, which changes none of its values."""
    for kind, activation in activations.ACTIVATIONS.items():
        if activation.saturates == np.inf:
            continue
        for end in (-activation.saturates, activation.saturates):
            x = end * np.array([[1.0, 1.5, 10.0, 1e100]])
            dx = PLAIN.activation_backward(kind, np.ones_like(x), x, x, np.empty_like(x))
            np.testing.assert_array_equal(dx, 1.0 if end > 0.0 else 0.0)
            assert f"T({activation.saturates:g})" in activation.cuda_backward
