"""Activations and losses of the engine on numbers of all sizes: those of nnx, without overflow."""

from __future__ import annotations

import numpy as np
import pytest
from support.engine import node

import nnx

SIZES = [0.0, 5e-324, 1e-300, 1e-20, 1e-9, 1e-3, 0.3, 1.0, 2.4, 2.6, 7.0, 39.0, 41.0, 59.0, 61.0, 700.0, 1e10]
NUMBERS = np.array([[sign * size, sign * size / 3] for size in SIZES for sign in (1.0, -1.0)])
DY = np.tile([1.0, 2.0], (len(NUMBERS), 1))
CLOSE = {"rtol": 1e-9, "atol": 1e-15}
# Near y = 1, 1 − y has few digits, and libraries round e^x differently; a fused loss does not compute it.
NOT_FUSED = {"rtol": 1e-6, "atol": 1e-8}
ACTIVATIONS = [
    ("Identity", {}), ("ReLU", {}), ("LeakyReLU", {"alpha": 0.1}), ("ELU", {"alpha": 0.5}), ("SELU", {}),
    ("GELU", {}), ("GELU", {"approximate": True}), ("SiLU", {}), ("Mish", {}), ("Tanh", {}), ("Sigmoid", {}),
    ("HardSigmoid", {}), ("Softplus", {}), ("Exp", {}), ("Softmax", {}), ("PReLU", {}),
]  # fmt: skip
LOSSES = [
    ("mean_squared_error", {}, "Identity"), ("mean_absolute_error", {}, "Identity"),
    ("huber", {}, "Identity"), ("hinge", {}, "Identity"), ("squared_hinge", {}, "Identity"),
    ("binary_cross_entropy", {}, "Sigmoid"), ("binary_cross_entropy", {"from_logits": True}, "Identity"),
    ("categorical_cross_entropy", {}, "Softmax"), ("poisson", {}, "Exp"),
]  # fmt: skip
TARGETS = [[1.0, 0.0], [0.0, 1.0]]


@pytest.fixture(scope="module")
def of_activations(tmp_path_factory):
    """y and dx of each, as text: JSON has no infinity."""
    program = f"""
    const x = Float64Array.from({NUMBERS.ravel().tolist()}), dy = Float64Array.from({DY.ravel().tolist()});
    answer = given.map(([kind, settings]) => {{
      const net = nnxEngine.network({{ inputs: 2, layers: [{{ kind, ...settings }}] }}), [layer] = net.layers;
      net.forward(x, {len(NUMBERS)});
      layer.backward(dy, layer.dx, {len(NUMBERS)});
      return [layer.y, layer.dx].map((values) => Array.from(values, String));
    }});
    """
    return node(program, ACTIVATIONS, tmp_path_factory.mktemp("node"))


@pytest.mark.parametrize("number", range(len(ACTIVATIONS)), ids=[kind for kind, _ in ACTIVATIONS])
def test_activations(of_activations, number):
    kind, settings = ACTIVATIONS[number]
    layer = getattr(nnx, kind)(**settings).build(2, dtype="float64", device="numpy")
    with np.errstate(all="ignore"):  # as fit does
        expected = layer.forward(NUMBERS, training=True), layer.backward(DY)
    for there, here in zip(of_activations[number], expected, strict=True):
        np.testing.assert_allclose(np.array(there, float), here.ravel(), **CLOSE)


def by_nnx(network, loss):
    """The loss and its gradient for each row and target alone, so that a large one hides no small one."""
    plan, kind = network.training_plan(loss)
    values, gradients = [], []
    for target in TARGETS:
        for row in NUMBERS:
            value, dy = np.empty(1), np.empty((1, 2))
            with np.errstate(all="ignore"):
                y = plan.forward(row[None])
                loss.evaluate(network.backend, np.array([target]), y, value, dy, None, kind)
                gradients += plan.backward(dy, input_gradient=True).ravel().tolist()
            values.append(value[0])
    return values, gradients


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize(("name", "settings", "last"), LOSSES)
def test_losses(name, settings, last, fuse, tmp_path):
    loss = nnx.losses.get({"name": name, **settings})
    network = nnx.Network([getattr(nnx, last)()], "numpy", "float64", fuse=fuse).build(2)
    program = f"""
    const net = nnxEngine.network(given), values = [], gradients = [];
    for (const target of {TARGETS}) {{
      for (const row of {NUMBERS.tolist()}) {{
        net.forward(Float64Array.from(row), 1);
        values.push(String(net.backward(Float64Array.from(target), 1, true)));
        gradients.push(...Array.from(net.layers[0].dx, String));
      }}
    }}
    answer = [values, gradients];
    """
    description = {"inputs": 2, "layers": [{"kind": last}], "loss": {"name": name, **settings}, "fuse": fuse}
    for there, here in zip(node(program, description, tmp_path), by_nnx(network, loss), strict=True):
        np.testing.assert_allclose(np.array(there, float), here, **(CLOSE if fuse else NOT_FUSED))
