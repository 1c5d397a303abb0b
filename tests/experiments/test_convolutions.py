"""What a report shows of convolutional networks."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.experiments import convolutions

pytestmark = pytest.mark.usefixtures("on_cpu")


def network():
    layers = [
        nnx.Reshape((8, 8, 1)), nnx.Conv2D(20, 3, activation="relu"), nnx.MaxPool2D(), nnx.Conv2D(4, 2),
        nnx.BatchNorm(), nnx.Tanh(), nnx.Dropout(0.5), nnx.Flatten(), nnx.Dense(3),
    ]  # fmt: skip
    return nnx.Network(layers, seed=0).build(64)


def test_the_first_filters_are_a_copy_of_the_first_weights():
    made = network()
    filters = convolutions.first_filters(made)
    np.testing.assert_array_equal(filters, made[1].W)
    filters[...] = 0.0
    assert made[1].W.any()
    assert convolutions.first_filters(nnx.Network([nnx.Dense(2, 3)])) is None


def test_maps_are_those_after_the_activation_of_each_convolution():
    made, x = network(), np.random.default_rng(0).random((5, 64), np.float32)
    maps = convolutions.activations(made, x)
    assert list(maps) == ["conv2d_1, relu_1", "conv2d_2, batchnorm_1, tanh_1"]
    first, second = maps.values()
    np.testing.assert_array_equal(first, made[:3].predict(x))
    np.testing.assert_array_equal(second, made[:7].predict(x))
    assert first.min() == 0.0
    assert (first.shape, second.shape) == ((5, 6, 6, 20), (5, 2, 2, 4))


def test_an_image_of_each_class_is_shown():
    made, x = network(), np.random.default_rng(0).random((9, 64), np.float32)
    labels = np.array([2, 2, 0, 1, 0, 1, 2, 3, 3])
    arrays = convolutions.observed(made, x, x, labels, (8, 8))
    assert arrays["map_labels"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(arrays["map_images"][:, :, :, 0].reshape(4, 64), x[[2, 3, 0, 7]])
    maps = convolutions.maps_of(arrays)
    assert [value.shape for value in maps.values()] == [(4, 6, 6, 16), (4, 2, 2, 4)]  # at most 16 channels
    np.testing.assert_array_equal(
        maps["conv2d_1, relu_1"],
        convolutions.activations(made, x[[2, 3, 0, 7]])["conv2d_1, relu_1"][..., :16],
    )


def test_other_networks_and_other_images_show_nothing():
    x, labels = np.zeros((2, 64), np.float32), np.arange(2)
    dense = nnx.Network([nnx.Dense(64, 3)], seed=0)
    assert convolutions.observed(dense, x, x, labels, (8, 8)) == {}
    assert convolutions.observed(network(), x, x, labels, (64,)) == {}
    assert convolutions.observed(network(), x, x, labels, (4, 8, 2)) == {}
