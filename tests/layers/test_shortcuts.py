"""Lists of hidden layers become residual blocks, which train where plain layers of that depth do not."""

from __future__ import annotations

import numpy as np
import pytest

import nnx
from nnx.layers.shortcuts import shortcuts_of_decoder, with_shortcuts

pytestmark = pytest.mark.usefixtures("on_cpu")


def shown(layers):
    """The classes of layers, and of those in a block."""
    return [
        f"{[type(one).__name__ for one in layer.branches[0]]} + {[repr(one) for one in layer.branches[1]]}"
        if isinstance(layer, nnx.Residual)
        else type(layer).__name__
        for layer in layers
    ]


def test_each_layer_after_the_first_is_a_block_with_what_follows_it():
    layers = [
        nnx.Dense(6), nnx.ReLU(), nnx.Dense(6, activation="tanh"), nnx.Dropout(0.1), nnx.Dense(4),
        nnx.BatchNorm(), nnx.GELU(),
    ]  # fmt: skip
    assert shown(with_shortcuts(layers, (3,))) == [
        "Dense", "ReLU", "['LayerNorm', 'Dense', 'Tanh', 'Dropout'] + []",
        "['LayerNorm', 'Dense', 'BatchNorm', 'GELU'] + ['dense_2(4)']", "LayerNorm",
    ]  # fmt: skip


def test_a_block_computes_the_sum_of_its_docstring():
    layers = with_shortcuts([nnx.Dense(5, activation="tanh"), nnx.Dense(4, activation="relu")], (3,))
    network = nnx.Network([*layers, nnx.Dense(1)], seed=0, dtype="float64", device="numpy").build(3)
    x = np.random.default_rng(0).normal(size=(7, 3))
    h = network[:2].predict(x)
    block = network[2]
    _, dense, _ = block.branches[0]
    (projection,) = block.branches[1]
    centred = h - h.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3)
    expected = h @ projection.W + projection.b + np.maximum(normal @ dense.W + dense.b, 0.0)
    np.testing.assert_allclose(network[:3].predict(x), expected, rtol=1e-12)


def test_convolutions_have_projections_with_their_strides_and_start_again_after_pooling():
    layers = [
        nnx.Conv2D(4, 3, padding="same"), nnx.Conv2D(4, 3, padding="same"),
        nnx.Conv2D(8, 3, strides=2, padding="same"), nnx.MaxPool2D(), nnx.Flatten(), nnx.Dense(8),
        nnx.Dense(8),
    ]  # fmt: skip
    made = with_shortcuts(layers, (8, 8, 1))
    assert [one.partition(" + ")[0] for one in shown(made)] == [
        "Conv2D", "['LayerNorm', 'Conv2D']", "['LayerNorm', 'Conv2D']", "LayerNorm", "MaxPool2D", "Flatten",
        "Dense", "['LayerNorm', 'Dense']", "LayerNorm",
    ]  # fmt: skip
    (projection,) = made[2].branches[1]
    assert (projection.kernel_size, projection.strides) == ((1, 1), (2, 2))
    assert nnx.Network(made, seed=0).build((8, 8, 1)).output_shape == (8,)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], "residual needs two hidden layers or more"),
        ([nnx.Dense(4), nnx.ReLU()], "residual needs two hidden layers or more"),
        ([nnx.Conv2D(4, 3), nnx.Conv2D(4, 3)], "use padding=same"),
    ],
)
def test_what_has_no_block_is_refused(layers, text):
    with pytest.raises(nnx.ConfigurationError, match=text):
        with_shortcuts(layers, (8, 8, 1) if text.startswith("use") else (3,))


def test_the_layer_of_a_decoder_that_makes_x_is_in_no_block():
    layers = [nnx.Dense(4), nnx.ReLU(), nnx.Dense(5), nnx.ReLU(), nnx.Dense(9), nnx.Reshape((3, 3))]
    assert shown(shortcuts_of_decoder(layers, (2,)))[-3:] == ["LayerNorm", "Dense", "Reshape"]
    assert shortcuts_of_decoder(layers[2:], (4,)) == layers[2:]


def test_a_deep_network_learns_with_blocks_and_not_without():
    """With 40 layers, plain ones do not get past always naming the commonest class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 8)).astype(np.float32)
    y = (x[:, :1] * x[:, 1:2] > 0.0).astype(np.float32)

    def loss_after(blocks: bool) -> float:
        layers = [nnx.Dense(16, activation="relu", seed=n) for n in range(40)]
        hidden = with_shortcuts(layers, (8,)) if blocks else layers
        network = nnx.Network([*hidden, nnx.Dense(1), nnx.Sigmoid()], seed=0)
        history = network.fit(
            x, y, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=15, batch_size=32
        )
        return history["loss"][-1]

    assert loss_after(True) < 0.3
    assert loss_after(False) > 0.6
