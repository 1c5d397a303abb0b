"""Dense layers with bfloat16 factors against Keras with the policy ``mixed_bfloat16``, on TensorFlow.

Keras also rounds the factors and sums in float32. But it then rounds every output to bfloat16 as well, and a
bias before it is added. nnx rounds neither. So the two differ by at most these roundings, each 2⁻⁸ of its
value. A float32 sum of a few hundred terms adds far less (2⁻¹⁶ of its terms here).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.devices_here import usable

import nnx

pytestmark = pytest.mark.keras

UNIT = 2.0**-8
SUMS = 2.0**-16
ROWS, INPUTS, UNITS = 64, 200, 30
# No slope above 1, so no error grows. TensorFlow rounds several times within its sigmoid in bfloat16.
ACTIVATIONS = ("linear", "relu", "tanh")


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Keras 3 on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        yield pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")


@pytest.fixture(params=["numpy", "numba"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device of the CPU that computes with bfloat16 factors."""
    backend = usable(request.param)
    if fault := backend.bfloat16_fault():
        pytest.skip(f"no bfloat16 on {request.param} here: {fault}")
    return str(request.param)


def both(keras: Any, device: str, *layers: tuple[int, str]) -> tuple[nnx.Network, Any]:
    """The same network in both, with biases that are not zero."""
    ours = nnx.Network(
        [nnx.Dense(units, activation=name) for units, name in layers], seed=0, device=device,
        precision="bfloat16",
    ).build(INPUTS)  # fmt: skip
    theirs = keras.Sequential(
        [keras.layers.Dense(units, activation=name, dtype="mixed_bfloat16") for units, name in layers]
    )
    theirs.build((None, INPUTS))
    weights = {name: value + 0.1 * (value.ndim == 1) for name, value in ours.weights().items()}
    ours.set_weights({name: value.astype(np.float32) for name, value in weights.items()})
    theirs.set_weights(list(weights.values()))
    return ours, theirs


def of_keras(theirs: Any, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Output and gradients of all weights, as float32."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        y = theirs(x)
        total = tf.reduce_sum(tf.cast(y, "float32") * dy)
    assert y.dtype == "bfloat16"
    return tf.cast(y, "float32").numpy(), [
        g.numpy() for g in tape.gradient(total, theirs.trainable_variables)
    ]


def of_nnx(ours: nnx.Network, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    y = ours.forward(x, training=True).copy()
    ours.backward(dy)
    return y, [gradient.copy() for _, _, gradient in ours.parameters()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_layer(keras: Any, rng: np.random.Generator, device: str, activation: str) -> None:
    """Number by number: outputs for each activation; and the gradients of the layer without one.

    Keras rounds the product z, the bias, their sum and the activation.
    """
    ours, theirs = both(keras, device, (UNITS, activation))
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    # signs and powers of two: rounding does not change them, so that both have the same factors
    dy = np.float32(rng.choice([-4.0, -0.5, 0.25, 1.0, 2.0], (ROWS, UNITS)))
    (y, gradients), (expected, other) = of_nnx(ours, x, dy), of_keras(theirs, x, dy)
    W, b = ours.weights().values()
    z = x @ W + b
    size = np.abs(x) @ np.abs(W)
    roundings = 1.05 * UNIT * (2 * np.abs(z) + 2 * np.abs(b) + np.abs(y))
    assert (np.abs(y - expected) <= roundings + SUMS * size).all()
    if activation == "linear":
        size = np.abs(x).T @ np.abs(dy)
        assert (np.abs(gradients[0] - other[0]) <= UNIT * np.abs(gradients[0]) + SUMS * size).all()
        assert np.abs(gradients[0] - np.float64(x).T @ dy).max() > SUMS * size.max(), (
            "factors are not rounded"
        )


def test_a_network(keras: Any, rng: np.random.Generator, device: str) -> None:
    """In norm: three layers, and so at most 5 products and 4 roundings for each on the way to a gradient."""
    ours, theirs = both(keras, device, (64, "tanh"), (64, "relu"), (UNITS, "linear"))
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    dy = rng.standard_normal((ROWS, UNITS)).astype(np.float32)
    (y, gradients), (expected, other) = of_nnx(ours, x, dy), of_keras(theirs, x, dy)
    for own, their in zip([y, *gradients], [expected, *other], strict=True):
        assert np.linalg.norm(own - their) < 20 * UNIT * np.linalg.norm(their)
