"""Layers that were read from texts are put together, and encoders are reversed."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.layers.assembly import assembled, reversed_layers
from nnx.layers.words import activated, read_layers


def words(text, code=False):
    return activated(read_layers(text.split(",")), code)


def kinds(layers):
    """The names of classes, with the activations that layers name."""
    return [
        type(layer).__name__ + (f" {layer.activation}" if getattr(layer, "activation", None) else "")
        for layer in layers
    ]


@pytest.mark.parametrize(
    ("text", "shape", "right"),
    [
        ("8", (5,), "Dense relu"),
        ("8", (4, 5), "Flatten, Dense relu"),
        ("batch_norm,8", (4, 5), "Flatten, BatchNorm, Dense relu"),
        ("8,flatten,4", (4, 5), "Dense relu, Flatten, Dense relu"),
        ("conv2d 4 3,max_pool2d,8", (6, 6, 1), "Conv2D relu, MaxPool2D, Flatten, Dense relu"),
        ("conv2d 4 3,max_pool2d,8", (6, 6), "Reshape, Conv2D relu, MaxPool2D, Flatten, Dense relu"),
        ("conv2d 4 3,batch_norm,8", (6, 6, 1), "Conv2D relu, BatchNorm, Flatten, Dense relu"),
        ("conv2d 4 3,8,conv2d 4 3", (6, 6, 1), "Conv2D relu, Dense relu, Conv2D relu, Flatten"),
        ("conv1d 4 3,8", (6, 2), "Conv1D relu, Flatten, Dense relu"),
        ("conv2d 4 3,flatten", (6, 6, 1), "Conv2D relu, Flatten"),
    ],
)  # fmt: skip
def test_rows_are_flattened_before_the_first_dense_layer_after_the_last_convolution(text, shape, right):
    layers = assembled(words(text), shape)
    assert ", ".join(kinds(layers)) == right
    assert len(nnx.Network(layers).build(shape).output_shape) == 1


@pytest.mark.parametrize(
    ("text", "shape", "right"),
    [
        ("8,4", (5,), "Dense relu, Dense"),
        ("8,4", (4, 5), "Dense relu, Dense, Reshape"),
        (
            "conv2d 8 3 strides=2 padding=same tanh,conv2d 16 3 strides=2 padding=same silu,32,4", (8, 12, 3),
            "Dense relu, Dense silu, Reshape, Conv2DTranspose tanh, Conv2DTranspose",
        ),
        (
            "conv2d 8 3 padding=same,max_pool2d,4", (8, 8),
            "Dense relu, Reshape, UpSample2D, Conv2DTranspose, Reshape",
        ),
        ("conv2d 8 3,spatial_dropout2d 0.1,4", (8, 8, 1), "Dense relu, Reshape, Conv2DTranspose"),
        ("conv1d 8 3 padding=same,max_pool1d,4", (8, 2), "Dense relu, Reshape, UpSample1D, Conv1D"),
    ],
)  # fmt: skip
def test_a_decoder_reverses_an_encoder(text, shape, right):
    encoder = words(text, code=True)
    decoder = reversed_layers(encoder, shape)
    assert ", ".join(kinds(decoder)) == right
    network = nnx.Network([*assembled(encoder, shape), *decoder], seed=0).build(shape)
    assert network.output_shape == shape
    x = np.random.default_rng(0).random((6, *shape), np.float32)
    history = network.fit(x, x, loss="mse", optimizer=nnx.Adam(1e-2), epochs=5, batch_size=6)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("text", "shape", "parts"),
    [
        ("conv2d 8 3 strides=2 padding=same,4", (7, 8, 1), ["reverse Conv2D", "(4, 4, 8) of (7, 8, 1)"]),
        ("max_pool2d,4", (7, 8, 1), ["cannot reverse MaxPool2D", "(3, 4, 1) of (7, 8, 1)"]),
        ("conv2d 8 3 groups=2,4", (8, 8, 2), ["cannot reverse Conv2D(8, 3×3, groups=2)"]),
        ("conv2d 8 3,global_average_pool2d,4", (8, 8, 1), ["cannot reverse GlobalAveragePool2D"]),
        ("conv1d 8 3 strides=2,4", (8, 1), ["cannot reverse Conv1D"]),
        ("8,conv2d 4 3,4", (8, 8, 1), ["cannot have a width (8) before convolutions", "write 'conv2d 8 1'"]),
    ],
)  # fmt: skip
def test_what_cannot_be_reversed_is_named(text, shape, parts):
    with pytest.raises(nnx.ConfigurationError) as caught:
        reversed_layers(words(text, code=True), shape)
    for part in ("layers: ", *parts):
        assert part in str(caught.value)
