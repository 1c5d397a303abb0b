"""Embeddings against the real Keras on TensorFlow, in float64: outputs, gradients, and a training."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import nnx

pytestmark = [pytest.mark.keras, pytest.mark.usefixtures("on_cpu")]

CLOSE = {"rtol": 1e-10, "atol": 1e-12}  # as in test_keras.py
VOCABULARY, UNITS = 40, 6


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own imports use what Python and NumPy deprecate
        pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'nnx-arrays[compare]'")
        return pytest.importorskip("keras", reason="needs Keras: pip install 'nnx-arrays[compare]'")


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 2)])
def test_output_and_gradient(
    keras: Any, rng: np.random.Generator, shape: tuple[int, ...], sparse: bool
) -> None:
    import tensorflow as tf

    ours = nnx.Embedding(VOCABULARY, UNITS, sparse=sparse).build(shape, dtype="float64")
    theirs = keras.layers.Embedding(VOCABULARY, UNITS, dtype="float64")
    theirs.build((None, *shape))
    theirs.set_weights([ours.W])
    x = np.minimum(rng.integers(0, 2 * VOCABULARY, (9, *shape)), VOCABULARY - 1)  # the last number often
    dy = rng.standard_normal((9, *shape, UNITS))
    with tf.GradientTape() as tape:
        y = theirs(x)
        total = tf.reduce_sum(y * dy)
    gradient = tf.convert_to_tensor(tape.gradient(total, theirs.weights[0].value))
    np.testing.assert_array_equal(ours.forward(x, training=True), np.asarray(y))
    ours.backward(dy)
    np.testing.assert_allclose(ours.dW, np.asarray(gradient), **CLOSE)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_same_training(keras: Any, rng: np.random.Generator, sparse: bool) -> None:
    """Of all rows, and with ``sparse=True``: for SGD this is the same.

    Keras's Adam on TensorFlow squares the parts of a gradient before it adds those of one row, so it differs
    from its own rule if a number occurs repeatedly in a batch.
    """
    x, y = rng.integers(0, VOCABULARY, (64, 5)), rng.integers(0, 3, 64)
    bag = nnx.Embedding(VOCABULARY, UNITS, sparse=sparse)
    layers = [bag, nnx.GlobalAveragePool1D(), nnx.Dense(3), nnx.Softmax()]
    ours = nnx.Network(layers, dtype="float64", seed=0).build(5)
    keras.backend.set_floatx("float64")
    try:
        table = keras.layers.Embedding(VOCABULARY, UNITS, dtype="float64")
        average = keras.layers.GlobalAveragePooling1D(dtype="float64")
        theirs = keras.Sequential([table, average, keras.layers.Dense(3, dtype="float64")])
        theirs.build((None, 5))
        theirs.set_weights(list(ours.weights().values()))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        theirs.compile(keras.optimizers.SGD(0.5), loss)
        theirs.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0)
    finally:
        keras.backend.set_floatx("float32")
    ours.fit(x, y, loss="cross_entropy", optimizer=nnx.SGD(0.5), batch_size=16, epochs=5, shuffle=False)
    for found, expected in zip(ours.weights().values(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_initial_values(keras: Any) -> None:
    theirs = keras.layers.Embedding(400, 32)
    theirs.build((None, 3))
    ours = nnx.Embedding(400, 32, seed=0).build(3)
    assert np.abs(ours.W).max() == pytest.approx(np.abs(theirs.get_weights()[0]).max(), rel=0.01)
