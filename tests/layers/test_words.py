"""Layers that are written as texts."""

from __future__ import annotations

import pytest

import nnx
from nnx.layers.words import LISTED, activated, read_layers


def made(*texts, **options):
    """The layers that texts describe, as text."""
    return [repr(word.layer()) for word in activated(read_layers(texts), **options)]


def test_widths_are_dense_layers_with_relu_or_the_usual_activation():
    (word,) = activated(read_layers(["64"]))
    assert (word.kind, word.width, word.activation) == (nnx.Dense, 64, "relu")
    assert [word.activation for word in activated(read_layers([8, "4 tanh"]), usual="gelu")] == [
        "gelu", "tanh"
    ]  # fmt: skip


def test_arguments_are_given_by_place_and_by_name():
    word = read_layers(["conv2d 32 3x5 2 padding=same use_bias=no tanh"])[0]
    assert word.kind is nnx.Conv2D
    assert word.activation == "tanh"
    assert word.arguments == {
        "filters": 32, "kernel_size": (3, 5), "strides": 2, "padding": "same", "use_bias": False
    }  # fmt: skip
    layer = word.layer()
    assert (layer.strides, layer.kernel_size, layer.padding) == ((2, 2), (3, 5), "same")
    assert layer.activation == "tanh"
    for text, switch in (("yes", True), ("True", True), ("no", False), ("False", False), ("false", False)):
        assert read_layers([f"conv2d 8 3 use_bias={text}"])[0].layer().use_bias is switch
    assert read_layers(["batch_norm momentum=0.5"])[0].layer().momentum == 0.5
    assert read_layers(["max_pool2d 3 strides=2"])[0].layer().strides == (2, 2)
    assert read_layers(["max_pool2d"])[0].layer().pool_size == (2, 2)


def test_convolutions_have_the_activation_that_is_written_after_them():
    words = activated(read_layers(["conv2d 8 3", "batch_norm", "tanh", "conv2d 8 3", "max_pool2d", "16"]))
    assert [(word.activation, word.later) for word in words if word.activated] == [
        ("", "tanh"), ("relu", ""), ("relu", "")
    ]  # fmt: skip


def test_a_code_stays_linear_and_is_the_last_dense_layer():
    words = activated(read_layers(["conv2d 8 3", "16", "4"]), code=True)
    assert [word.activation for word in words] == ["relu", "relu", ""]
    assert activated(read_layers(["4 tanh"]), code=True)[0].activation == "tanh"


def test_weights_are_those_of_the_layers_own_default_and_selu_has_those_of_its_paper():
    convolution, dense, selu = activated(read_layers(["conv2d 8 3 relu", "8 relu", "8 selu"]))
    for word, plain in ((convolution, nnx.Conv2D(8, 3)), (dense, nnx.Dense(8))):
        assert type(word.layer().initializer) is type(plain.initializer)
    assert isinstance(selu.layer().initializer, nnx.initializers.LeCunNormal)
    given, linear = activated(read_layers(["8 relu", "8 linear"]), code=True, initializer="he_normal")
    assert isinstance(given.layer().initializer, nnx.initializers.HeNormal)
    assert isinstance(linear.layer().initializer, nnx.initializers.HeNormal)


@pytest.mark.parametrize("name", sorted(LISTED))
def test_every_layer_that_is_listed_can_be_written(name):
    arguments = {"dropout": "0.2", "conv1d": "4 3", "conv2d": "4 3", "conv2d_transpose": "4 3"}
    arguments |= {"spatial_dropout1d": "0.2", "spatial_dropout2d": "0.2"}
    arguments |= {"l1_sparsity": "0.01", "kl_sparsity": "0.1 target=0.2", "gaussian_noise": "0.2"}
    arguments |= {"mask_noise": "0.2"}
    (word,) = read_layers([f"{name} {arguments.get(name, '')}"])
    assert isinstance(word.layer(), LISTED[name])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("conv2d", ["write 'conv2d FILTERS KERNEL_SIZE', not 'conv2d'", "NAME=VALUE: strides, padding"]),
        ("conv2d 8", ["write 'conv2d FILTERS KERNEL_SIZE'"]),
        ("conv2d 8 3 relo", ["'relo' is not an activation", "did you mean 'conv2d 8 3 relu'?"]),
        ("conv2d 8 3 stride=2", ["no argument 'stride'", "did you mean 'strides'?"]),
        ("conv2d 8 3 padding=sane", ["padding must be", "did you mean 'same'?"]),
        ("conv2d 8 3 filters=4", ["filters is given twice"]),
        ("conv2d 8 three", ["'three' is not an activation"]),
        ("conv2d 8 3 2 1", ["write 'conv2d FILTERS KERNEL_SIZE'", "'1' is one word too many"]),
        ("conv2d eight 3", ["filters: 'eight' is neither a number nor a size such as 3x5"]),
        ("conv2d 8 3X5", ["kernel_size: '3X5' is neither a number"]),
        ("conv2d 8 3 relu strides=2", ["write one activation, as the last word"]),
        ("conv2d 8 3 activation=relu", ["write one activation, as the last word and without its name"]),
        ("conv2d 8 3 same", ["'same' is not an activation: write 'padding=same'"]),
        ("max_pool2d 2 relu", ["'relu' is one word too many"]),
        ("conv2d 0 3", ["filters must be a positive integer"]),
        ("conv3d 8 3", ["neither a width with an activation", "did you mean 'conv2d'?"]),
        ("batch_norm 2", ["batch_norm stands alone", "NAME=VALUE: momentum"]),
        ("flatten relu", ["flatten stands alone"]),
        ("dropout 1", ["[0, 1)"]),
        ("dropout", ["write 'dropout RATE'"]),
        ("64 relo", ["did you mean '64 relu'?"]),
        ("0", ["from 1 to 65,536"]),
        ("", ["neither a width"]),
    ],
)
def test_a_mistake_says_what_is_right(text, parts):
    with pytest.raises(nnx.ConfigurationError) as caught:
        read_layers([text], "layers")
    message = str(caught.value)
    assert message.startswith("layers: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["dropout", "spatial_dropout2d"])
def test_a_rate_with_a_comma_is_not_read_as_a_rate_of_0_and_a_width(name):
    with pytest.raises(nnx.ConfigurationError, match=rf"write a rate with a point, '{name} 0\.25'"):
        read_layers(f"64,{name} 0,25".split(","))
    assert len(read_layers([f"{name} 0.0", "25"])) == 2
