"""From a description alone: the shape after each of Keras's layers, and no more numbers than it holds."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_networks import made, single

import nnx
from nnx.interop import keras as exchange
from nnx.interop.keras_archive import CONFIG
from nnx.interop.keras_layers import READERS
from nnx.interop.keras_sizes import SIZED, claimed

pytestmark = pytest.mark.keras
SINGLE = single()
MORE: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    (
        "DepthwiseConv2D",
        (6, 7, 3),
        {"kernel_size": 3, "depth_multiplier": 2, "strides": 2, "padding": "same"},
    ),
    ("DepthwiseConv1D", (6, 3), {"kernel_size": 2}),
    ("SeparableConv2D", (6, 7, 3), {"filters": 5, "kernel_size": (2, 3), "depth_multiplier": 2}),
    ("SeparableConv1D", (6, 3), {"filters": 5, "kernel_size": 3, "dilation_rate": 2}),
    ("Embedding", (4, 2), {"input_dim": 5, "output_dim": 3}),
    ("Dense", (2, 3), {"units": 4}),
    ("Reshape", (4, 6), {"target_shape": (2, -1, 3)}),
    ("Flatten", (4, 6), {}),
    ("PReLU", (4, 6), {}),
]


def seen(layer: Any, shape: tuple[int, ...]) -> None:
    """See that a layer of Keras, built for rows of a shape, is as large as its description says."""
    numbers, after = claimed(type(layer).__name__, layer.get_config(), list(shape))
    held = sum(int(np.prod(weight.shape)) for weight in layer.weights)
    assert held // 2 <= numbers <= held  # "at least": without biases
    (_, *expected) = layer.compute_output_shape((None, *shape))
    assert after == expected


@pytest.mark.parametrize("name", SINGLE)
def test_the_description_of_a_layer_is_enough(keras, rng, name: str):
    network, _ = made(*SINGLE[name], rng)
    (layer,) = exchange.to_keras(network).layers
    seen(layer, network.input_shape)


@pytest.mark.parametrize(("kind", "shape", "options"), MORE, ids=lambda one: str(one))
def test_also_of_layers_that_nnx_does_not_write(keras, kind: str, shape, options):
    layer = getattr(keras.layers, kind)(**options)
    layer.build((None, *shape))
    seen(layer, shape)


def test_every_layer_that_changes_the_shape_is_known():
    same = {"Activation", "Rescaling", "Dropout", "SpatialDropout1D", "SpatialDropout2D"}
    same |= {"ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "ActivityRegularization", "GaussianNoise"}
    assert set(READERS) - set(SIZED) <= same


@pytest.mark.parametrize(
    ("change", "text"),
    [({"filters": 2**20}, "its layers need"), ({"kernel_size": [3000, 3000]}, "its layers need")],
)
def test_a_convolution_that_claims_more_than_the_file_holds_is_refused(keras, tmp_path: Path, change, text):
    network = nnx.Network([nnx.Conv2D(4, 3, padding="same"), nnx.Flatten()], seed=0).build((8, 8, 2))
    exchange.export(network, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members[CONFIG])
    (entry,) = [one for one in config["config"]["layers"] if one["class_name"] == "Conv2D"]
    entry["config"] |= change
    members[CONFIG] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "spoilt.keras", "w") as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    with pytest.raises(nnx.FileFormatError, match=text):
        exchange.load(tmp_path / "spoilt.keras")
