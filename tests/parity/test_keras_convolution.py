"""Convolutions against the real Keras on TensorFlow, in float64: outputs and all gradients."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import nnx

pytestmark = [pytest.mark.keras, pytest.mark.usefixtures("on_cpu")]

CLOSE = {"rtol": 1e-10, "atol": 1e-12}  # as in test_keras.py


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        return pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")


JOBS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("Conv2D", (6, 7, 3), {"kernel_size": 3}),
    ("Conv2D", (6, 7, 3), {"kernel_size": (2, 3), "padding": "same"}),
    ("Conv2D", (7, 8, 3), {"kernel_size": (3, 2), "strides": (2, 3), "padding": "same"}),
    ("Conv2D", (9, 8, 3), {"kernel_size": 3, "strides": 2}),
    ("Conv2D", (9, 8, 3), {"kernel_size": 2, "dilation": (3, 2), "padding": "same"}),
    ("Conv2D", (5, 4, 3), {"kernel_size": 1, "strides": 2, "padding": "same"}),
    ("Conv2D", (6, 5, 4), {"kernel_size": 3, "groups": 2, "padding": "same"}),
    ("Conv2D", (6, 5, 4), {"kernel_size": 3, "groups": 4, "use_bias": False}),
    ("Conv1D", (9, 3), {"kernel_size": 4, "strides": 2, "padding": "same"}),
    ("Conv1D", (9, 4), {"kernel_size": 3, "dilation": 2, "groups": 2}),
    ("Conv2DTranspose", (4, 3, 3), {"kernel_size": 3}),
    ("Conv2DTranspose", (4, 3, 3), {"kernel_size": 3, "strides": 2, "padding": "same"}),
    ("Conv2DTranspose", (4, 3, 3), {"kernel_size": (2, 4), "strides": (3, 2)}),
    ("Conv2DTranspose", (4, 3, 3), {"kernel_size": 2, "strides": 3, "padding": "same"}),
    ("Conv2DTranspose", (4, 3, 3), {"kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False}),
]


@pytest.mark.parametrize(("name", "shape", "options"), JOBS, ids=[f"{name} {job}" for name, _, job in JOBS])
def test_convolutions(
    keras: Any, rng: np.random.Generator, name: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    import tensorflow as tf

    ours = getattr(nnx, name)(8, **options).build(shape, dtype="float64")
    theirs_options = {
        ("dilation_rate" if key == "dilation" else key): value for key, value in options.items()
    }
    theirs = getattr(keras.layers, name)(8, dtype="float64", **theirs_options)
    theirs.build((None, *shape))
    assert [value.shape for _, value, _ in ours.named_parameters()] == [w.shape for w in theirs.weights]
    values = [rng.standard_normal(value.shape) for _, value, _ in ours.named_parameters()]
    theirs.set_weights(values)
    for (_, mine, _), value in zip(ours.named_parameters(), values, strict=True):
        mine[...] = value
    x = tf.Variable(rng.standard_normal((3, *shape)))
    dy = rng.standard_normal((3, *ours.output_shape))
    with tf.GradientTape() as tape:
        y = theirs(x)
        total = tf.reduce_sum(y * dy)
    gradients = tape.gradient(total, [x, *(weight.value for weight in theirs.weights)])
    found = [ours.forward(x.numpy()).copy(), ours.backward(dy)]
    found += [gradient for _, _, gradient in ours.named_parameters()]
    for mine, reference in zip(found, [y, *gradients], strict=True):
        np.testing.assert_allclose(mine, np.asarray(reference), **CLOSE)


def test_initial_limits(keras: Any) -> None:
    """Keras's fans: the same limits of a uniform distribution."""
    for name, shape in (("Conv2D", (9, 9, 16)), ("Conv2DTranspose", (9, 9, 16)), ("Conv1D", (50, 16))):
        theirs = getattr(keras.layers, name)(32, 5)
        theirs.build((None, *shape))
        ours = getattr(nnx, name)(32, 5, seed=0).build(shape)
        assert np.abs(ours.W).max() == pytest.approx(np.abs(theirs.get_weights()[0]).max(), rel=0.02), name
