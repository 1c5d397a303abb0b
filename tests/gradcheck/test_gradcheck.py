"""Fused passes and a hand-written loop have the gradients of passes that are not fused."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.backends import Backend

pytestmark = pytest.mark.usefixtures("on_cpu")


# ----------------------------------------------------------- fused and not fused, one by one


@pytest.mark.parametrize(
    ("activation", "loss"),
    [("sigmoid", nnx.BinaryCrossEntropy()), ("softmax", nnx.CategoricalCrossEntropy()),
     ("sigmoid", nnx.MeanSquaredError()), ("tanh", nnx.Huber(0.2))],
)  # fmt: skip
def test_fusion_changes_no_gradient(
    backend: Backend, rng: np.random.Generator, activation: str, loss: nnx.Loss
) -> None:
    x, y = rng.standard_normal((9, 5)), rng.uniform(0.1, 0.9, (9, 3))
    gradients = []
    for fuse in (True, False):
        layers = [nnx.Dense(5, 6, activation="relu"), nnx.Dense(4, activation="gelu"), nnx.LayerNorm(),
                  nnx.Dropout(0.3), nnx.Dense(3, activation=activation)]  # fmt: skip
        network = nnx.Network(layers, device=backend, dtype="float64", seed=4, fuse=fuse)
        plan, kind = network.training_plan(loss)
        p = plan.forward(network.asarray(x))
        value, dy = backend.empty(1, "float64"), backend.empty(p.shape, "float64")
        loss.evaluate(backend, network.asarray(y), p, value, dy, None, kind)
        dx = plan.backward(dy, input_gradient=True)
        found = {name: backend.to_numpy(g).copy() for name, _, g in network.parameters()}
        gradients.append(found | {"x": backend.to_numpy(dx).copy(), "loss": backend.to_numpy(value).copy()})
    for name, fused in gradients[0].items():
        # the same mathematics in another order: a few hundred roundings of 2e-16
        np.testing.assert_allclose(fused, gradients[1][name], rtol=1e-9, atol=1e-14, err_msg=name)


def test_the_hand_written_loop_gets_the_gradients_of_fit(backend: Backend, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((9, 5)), rng.uniform(0.1, 0.9, (9, 3))
    network = nnx.Network(
        [nnx.Dense(5, 4), nnx.Tanh(), nnx.Dense(3), nnx.Sigmoid()], device=backend, dtype="float64", seed=4
    )
    loss = nnx.BinaryCrossEntropy()
    plan, kind = network.training_plan(loss)
    dy = backend.empty((9, 3), "float64")
    loss.evaluate(backend, network.asarray(y), plan.forward(network.asarray(x)), None, dy, None, kind)
    plan.backward(dy)
    fused = network.arena.gradients.copy()
    p = network.forward(network.asarray(x), training=True)
    network.backward(loss.gradient(network.asarray(y), p))
    np.testing.assert_allclose(
        backend.to_numpy(network.arena.gradients), backend.to_numpy(fused), rtol=1e-10, atol=1e-15
    )
