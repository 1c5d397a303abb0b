"""Pooling as a layer: shapes, containers, memory, and training."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.small_networks import backward, forward, host

import nnx
from nnx.layers import Layer

pytestmark = pytest.mark.usefixtures("device")

SHAPES = {
    (lambda: nnx.MaxPool2D()): ((7, 8, 3), (3, 4, 3)),
    (lambda: nnx.MaxPool2D(3, strides=2, padding="same")): ((7, 8, 3), (4, 4, 3)),
    (lambda: nnx.MaxPool1D(3, 1)): ((7, 3), (5, 3)),
    (lambda: nnx.AveragePool2D((2, 3), padding="same")): ((7, 8, 3), (4, 3, 3)),
    (lambda: nnx.AveragePool1D(2)): ((7, 3), (3, 3)),
}


@pytest.mark.parametrize(
    ("make", "shapes"), SHAPES.items(), ids=lambda one: repr(one() if callable(one) else one)
)
def test_shapes(make, shapes) -> None:
    layer = make().build(shapes[0])
    assert layer.output_shape == shapes[1]
    assert layer.outputs == shapes[1][-1]
    y = layer.forward(np.zeros((2, *shapes[0]), np.float32))
    assert y.shape == (2, *shapes[1])


def test_arguments_have_the_defaults_and_names_of_keras() -> None:
    layer = nnx.MaxPool2D()
    assert (layer.pool_size, layer.strides, layer.padding) == ((2, 2), (2, 2), "valid")
    again = nnx.layers.get("max_pool2d", pool_size=(2, 3), strides=1, padding="same")
    assert again.config() == {"pool_size": [2, 3], "strides": [1, 1], "padding": "same"}
    assert repr(again) == "MaxPool2D((2, 3), strides=1, padding='same')"


def test_a_sequence_is_an_image_of_height_one() -> None:
    x = np.random.default_rng(0).normal(size=(3, 9, 2))
    for one, two in (
        (nnx.MaxPool1D(3, 2, "same"), nnx.MaxPool2D((1, 3), (1, 2), "same")),
        (nnx.AveragePool1D(3, 2, "same"), nnx.AveragePool2D((1, 3), (1, 2), "same")),
    ):
        one.build((9, 2), dtype="float64")
        two.build((1, 9, 2), dtype="float64")
        y, z = host(one.forward(x)), host(two.forward(x[:, None]))
        np.testing.assert_array_equal(y, z[:, 0])
        dy = np.cos(y)
        np.testing.assert_array_equal(host(one.backward(dy)), host(two.backward(dy[:, None]))[:, 0])


def small(pool: Layer) -> list[Layer]:
    """Layers around pooling, with a container whose branch it is in."""
    branch = [nnx.MaxPool2D(3, strides=1, padding="same"), nnx.Dense(4), nnx.Tanh()]
    return [nnx.Dense(4), nnx.ReLU(), nnx.Residual(branch), pool, nnx.Flatten(), nnx.Dense(3)]


@pytest.mark.parametrize("pool", [nnx.MaxPool2D, nnx.AveragePool2D])
def test_networks_with_pooling_train_and_come_back(pool, tmp_path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6, 6, 2)), rng.integers(0, 3, 40)
    loss = nnx.CategoricalCrossEntropy(from_logits=True)
    network = nnx.Network(small(pool()), seed=0, dtype="float64")
    history = network.fit(x, y, loss=loss, optimizer=nnx.Adam(0.02), epochs=30, batch_size=8)
    assert history.metrics["loss"][-1] < 0.5 * history.metrics["loss"][0]
    assert "[3, 3, 4]" in str(network.summary())
    network.save(tmp_path / "m.safetensors")
    for other in (nnx.load(tmp_path / "m.safetensors"), network.copy()):
        assert other.predict(x).tobytes() == network.predict(x).tobytes()
    # inference keeps no positions, and computes the same
    np.testing.assert_array_equal(network.predict(x), forward(network, x, training=True))


def test_smaller_batches_and_other_passes_do_not_disturb_the_backward_pass() -> None:
    """The positions of the last training pass are those that the backward pass reads."""
    rng = np.random.default_rng(0)
    network = nnx.Network([nnx.MaxPool2D(2, 1)], dtype="float64").build((4, 4, 2))
    x, dy = rng.normal(size=(6, 4, 4, 2)), rng.normal(size=(6, 3, 3, 2))
    forward(network, x, training=True)
    expected = backward(network, dy, input_gradient=True)
    forward(network, x[:3], training=True)
    first = backward(network, dy[:3], input_gradient=True)
    np.testing.assert_array_equal(first, expected[:3])
    forward(network, x, training=True)
    network.predict(-x)
    np.testing.assert_array_equal(backward(network, dy, input_gradient=True), expected)


@pytest.mark.parametrize("pool", [lambda: nnx.MaxPool2D(3, 2, "same"), lambda: nnx.AveragePool2D(2)])
def test_a_step_allocates_nothing_after_the_first(pool, on_cpu) -> None:
    network = nnx.Network([nnx.Reshape((28, 28, 4)), pool()], device="numpy").build(28 * 28 * 4)
    x = np.random.default_rng(0).normal(size=(256, 28 * 28 * 4)).astype(np.float32)
    dy = np.ones((256, *network.output_shape), np.float32)

    def step() -> None:
        network.forward(x, training=True)
        network.backward(dy, input_gradient=True)

    step()
    tracemalloc.start()
    try:
        step()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 150_000  # the smallest array of a batch, the positions, has 200,704 bytes
