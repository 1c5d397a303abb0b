"""Convolutions as layers: shapes, what is refused, training, files, and memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.real_mnist import mnist_directory
from support.small_networks import backward, forward, host, same_bytes

import nnx
from nnx import initializers
from nnx.datasets.mnist import load_mnist

pytestmark = pytest.mark.usefixtures("device")

RNG = np.random.default_rng(9)
IMAGES = RNG.normal(size=(10, 8, 7, 2))
LABELS = RNG.integers(0, 3, 10)
LOSS = nnx.CategoricalCrossEntropy


def layers(activation="relu"):
    return [
        nnx.Conv2D(6, 3, padding="same", activation=activation),
        nnx.Conv2D(6, 3, strides=2, groups=3, use_bias=False, activation=activation),
        nnx.Conv2D(6, 3, padding="same", groups=6),
        nnx.BatchNorm(),
        nnx.Conv2DTranspose(4, 2, strides=2, activation=activation),
        nnx.Conv2D(3, 1),
        nnx.Flatten(),
        nnx.Dense(3),
        nnx.Softmax(),
    ]


def trained(made=None, x=IMAGES, y=LABELS, **options):
    network = nnx.Network(made or layers(), **({"seed": 0, "dtype": "float64"} | options))
    network.fit(x, y, loss=LOSS(), optimizer=nnx.Adam(0.01), epochs=3, batch_size=4)
    return network


# ------------------------------------------------------------------------------ shapes


def test_shapes_and_parameters_of_a_network():
    network = nnx.Network(layers(), seed=0).build((8, 7, 2))
    shapes = [layer.output_shape for layer in network.layers if "conv" in layer.name]
    assert shapes == [(8, 7, 6), (3, 3, 6), (3, 3, 6), (6, 6, 4), (6, 6, 3)]
    parameters = {name: value.shape for name, value, _ in network.parameters()}
    assert parameters["conv2d_1.W"] == (3, 3, 2, 6)
    assert parameters["conv2d_2.W"] == (3, 3, 2, 6)
    assert "conv2d_2.b" not in parameters
    assert parameters["conv2d_3.W"] == (3, 3, 1, 6)
    assert parameters["conv2dtranspose_1.W"] == (2, 2, 4, 6)
    summary = network.summary()
    assert "conv2d_2" in summary
    assert "[6, 6, 4]" in summary


def test_a_sequence_is_an_image_of_height_one():
    x = RNG.normal(size=(4, 9, 6))
    one = nnx.Conv1D(4, 3, 2, "same", groups=2, seed=1).build((9, 6), dtype="float64")
    two = nnx.Conv2D(4, (1, 3), (1, 2), "same", groups=2).build((1, 9, 6), dtype="float64")
    two.W[...] = one.W[None]
    np.testing.assert_array_equal(host(one.forward(x)), host(two.forward(x[:, None]))[:, 0])
    dy = RNG.normal(size=(4, 5, 4))
    np.testing.assert_array_equal(host(one.backward(dy)), host(two.backward(dy[:, None]))[:, 0])
    np.testing.assert_array_equal(host(one.dW), host(two.dW)[0])
    assert one.W.shape == (3, 3, 4)


def test_dense_and_a_pointwise_convolution_are_the_same():
    dense = nnx.Dense(2, 5, seed=0).build((8, 7, 2), dtype="float64")
    convolution = nnx.Conv2D(5, 1).build((8, 7, 2), dtype="float64")
    convolution.W[0, 0] = dense.W
    np.testing.assert_allclose(host(convolution.forward(IMAGES)), host(dense.forward(IMAGES)), rtol=1e-12)


@pytest.mark.parametrize("kind", [nnx.Conv2D, nnx.Conv2DTranspose])
@pytest.mark.parametrize(("name", "fan"), [("he_normal", "in"), ("glorot_normal", "mean")])
def test_initial_weights_have_the_variance_of_their_fans(kind, name, fan):
    """Fans are the last two axes of W times the numbers in a window, as in Keras."""
    W = host(kind(40, 5, initializer=name, seed=0).build((9, 9, 20)).W)
    fan_in, fan_out = 25 * W.shape[2], 25 * W.shape[3]
    variance = 2 / fan_in if fan == "in" else 2 / (fan_in + fan_out)
    assert W.var() == pytest.approx(variance, rel=5 * (2 / W.size) ** 0.5)


def test_orthogonal_weights():
    W = initializers.Orthogonal()(np.random.default_rng(0), (2, 2, 3, 5))
    np.testing.assert_allclose(W.reshape(12, 5).T @ W.reshape(12, 5), np.eye(5), atol=1e-12)


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nnx.Conv2D(0, 3), "filters must be a positive integer, not 0"),
        (lambda: nnx.Conv2D(4, (3, 3, 3)), r"kernel_size must be a number, or 2 numbers \(height, width\)"),
        (lambda: nnx.Conv1D(4, (3, 3)), r"kernel_size must be a number, not \(3, 3\)"),
        (lambda: nnx.Conv2D(4, 3, strides=0), "strides must be a positive integer"),
        (lambda: nnx.Conv2D(4, 3, padding="sane"), "did you mean 'same'"),
        (lambda: nnx.Conv2D(4, 3, strides=2, dilation=2), r"strides \(2, 2\) and dilation \(2, 2\)"),
        (lambda: nnx.Conv2D(4, 3, groups=3), "4 filters cannot be divided into 3 equal groups"),
        (lambda: nnx.Conv2D(4, 3, activation="rely"), "did you mean 'relu'"),
        (lambda: nnx.Conv2D(4, 3, use_bias="no"), "use_bias must be True or False"),
        (lambda: nnx.Conv2D(4, 9).build((8, 7, 2)), r"\(8, 7, 2\).*\(9, 9\).*\(8, 7\)"),
        (lambda: nnx.Conv2D(4, 3, dilation=4).build((8, 7, 2)), r"\(8, 7, 2\).*dilation \(4, 4\)"),
        (lambda: nnx.Conv2D(3, 3, groups=3).build((8, 7, 2)), r"2 channels of rows of shape \(8, 7, 2\)"),
        (lambda: nnx.Conv2D(4, 3).build(784), r"rows of shape \(height, width, channels\), not \(784,\)"),
        (lambda: nnx.Conv1D(4, 3).build((8, 7, 2)), r"shape \(length, channels\), not \(8, 7, 2\)"),
        (lambda: nnx.Network([nnx.Conv2D(4, 3), nnx.Conv2D(4, 9)]).build((8, 7, 2)), r"\(6, 5, 4\)"),
    ],
)  # fmt: skip
def test_bad_sizes_are_refused_in_one_line(make, match):
    with pytest.raises(nnx.ConfigurationError, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_images_of_another_shape_are_refused():
    network = trained()
    with pytest.raises(nnx.DataError, match=r"\(8, 8, 2\).*\(8, 7, 2\)"):
        network.predict(np.zeros((3, 8, 8, 2)))


# ----------------------------------------------------------------------------- training


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "leaky_relu"])
def test_fused_and_not_give_the_same_numbers(activation):
    one, other = (trained(layers(activation), fuse=fuse) for fuse in (True, False))
    np.testing.assert_allclose(one.predict(IMAGES), other.predict(IMAGES), rtol=1e-9, atol=1e-12)


def test_a_short_form_is_the_two_layers():
    short = trained([nnx.Conv2D(4, 3, activation="tanh"), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()])
    long = trained([nnx.Conv2D(4, 3), nnx.Tanh(), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()])
    same_bytes(short.weights(), long.weights())


def test_batches_of_any_size_give_the_same_numbers():
    network = nnx.Network(layers(), seed=0, dtype="float64").build((8, 7, 2))
    whole = network.predict(IMAGES, batch_size=10)
    for batch_size in (1, 3, 7):
        found = network.predict(IMAGES, batch_size=batch_size)
        np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-14)


def test_a_frozen_layer_keeps_its_weights():
    made = layers()
    made[0].trainable = False
    network = nnx.Network(made, seed=0).build((8, 7, 2))
    before = {name: host(value).copy() for name, value, _ in network.parameters()}
    network.fit(IMAGES, LABELS, loss=LOSS(), optimizer=nnx.Adam(0.01), epochs=1, batch_size=5)
    changed = {name for name, value, _ in network.parameters() if (host(value) != before[name]).any()}
    assert changed == {name for name in before if not name.startswith("conv2d_1.")}


def test_in_containers():
    block = nnx.Residual([nnx.Conv2D(2, 3, padding="same", activation="tanh"), nnx.Conv2D(2, 1)])
    branches = nnx.Concatenate([[nnx.Conv2D(3, 3, padding="same")], [nnx.Conv2D(2, 5, padding="same")], []])
    made = [block, branches, nnx.Tanh(), nnx.Flatten(), nnx.Dense(3), nnx.Softmax()]
    network = nnx.Network(made, seed=0, dtype="float64").build((8, 7, 2))
    assert network[1].output_shape == (8, 7, 7)
    assert nnx.gradcheck.check(network, IMAGES[:3], LABELS[:3], LOSS()).passed


def test_a_run_that_resumes_gives_the_same_bytes(tmp_path):
    def run(epochs, checkpoint=None):
        network = nnx.Network(layers(), seed=0)
        options = {"epochs": epochs, "batch_size": 4, "checkpoint": checkpoint}
        network.fit(IMAGES, LABELS, loss=LOSS(), optimizer=nnx.Adam(0.01), **options)
        return network.weights()

    run(2, nnx.Checkpoint(tmp_path))
    same_bytes(run(4, nnx.Checkpoint(tmp_path, resume=True)), run(4))


def test_a_network_comes_back_from_a_file(tmp_path):
    network = trained()
    network.save(tmp_path / "m.safetensors")
    loaded = nnx.load(tmp_path / "m.safetensors")
    assert loaded.config() == network.config()
    assert np.array_equal(loaded.predict(IMAGES), network.predict(IMAGES))
    assert np.array_equal(network.copy().predict(IMAGES), network.predict(IMAGES))


@pytest.mark.parametrize("device", ["numpy"])
@pytest.mark.parametrize("fuse", [True, False])
def test_bfloat16_rounds_factors_only(device, fuse):
    """The result is near that of float32, and not the same."""
    network, single = (
        nnx.Network(layers("tanh"), seed=0, precision=precision, device=device, fuse=fuse).build((8, 7, 2))
        for precision in ("bfloat16", "float32")
    )
    dy = RNG.normal(size=(10, 3)).astype(np.float32)
    for each in (network, single):
        forward(each, IMAGES.astype(np.float32), training=True)
        backward(each, dy)
    for (name, _, found), (_, _, expected) in zip(network.parameters(), single.parameters(), strict=True):
        if name == "conv2d_3.b":
            continue  # 0 but for rounding: batch normalization comes next
        assert not np.array_equal(found, expected), name
        size = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=0.1 * size, err_msg=name)
    network.fit(IMAGES, LABELS, loss=LOSS(), optimizer=nnx.Adam(0.01), epochs=2, batch_size=4)
    assert np.isfinite(network.predict(IMAGES)).all()


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_a_step_allocates_nothing_large(device):
    made = [
        nnx.Conv2D(16, 3, padding="same", activation="relu"),
        nnx.Conv2D(16, 3, strides=2, groups=16),
        nnx.Conv2DTranspose(8, 3, strides=2, padding="same", activation="tanh"),
        nnx.Conv2D(8, 1),
    ]
    network = nnx.Network(made, device=device, seed=0).build((28, 28, 3))
    x = np.ones((64, 28, 28, 3), np.float32)
    dy = np.ones((64, *network.output_shape), np.float32)

    def step():
        network.forward(x, training=True)
        network.backward(dy)

    step()
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # NumPy itself takes buffers of 8,192 numbers for up to three operands, whatever the size of the batch
    assert peak < 131_072, "the first layer's outputs take 3,211,264 bytes"


@pytest.mark.mnist
def test_it_learns_real_digits():
    data = load_mnist(mnist_directory())
    x, y = data.x_train[:1000].reshape(-1, 28, 28, 1), data.y_train[:1000]
    made = [
        nnx.Conv2D(8, 5, strides=2, padding="same", activation="relu"),
        nnx.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        nnx.Flatten(),
        nnx.Dense(10),
        nnx.Softmax(),
    ]
    network = nnx.Network(made, seed=0)
    network.fit(x[:800], y[:800], loss=LOSS(), optimizer=nnx.Adam(0.01), epochs=5, batch_size=32)
    assert network.evaluate(x[800:], y[800:], loss=LOSS(), metrics=["accuracy"])["accuracy"] > 0.85
