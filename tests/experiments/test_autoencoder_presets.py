"""The presets have the shapes of the reference systems."""

from __future__ import annotations

import pytest

import nnx
from nnx.experiments import autoencoder

pytestmark = pytest.mark.usefixtures("device")


def test_presets_have_the_shapes_of_the_reference_systems():
    def widths(preset):
        network = autoencoder.build(autoencoder.Config(preset))
        dense = [layer for layer in network.layers if isinstance(layer, nnx.Dense)]
        kinds = [type(layer).__name__ for layer in network.layers]
        return [784, *(layer.outputs for layer in dense)], kinds, network

    assert widths("deep")[0] == [784, 512, 256, 128, 64, 128, 256, 512, 784]
    assert widths("shallow")[0] == [784, 128, 64, 128, 784]
    for preset in autoencoder.PRESETS:
        _, kinds, network = widths(preset)
        assert set(kinds) - {"ReLU" if preset != "best" else "SiLU"} == {"Dense", "Sigmoid"}
        assert kinds[network.encoder_length - 1 : network.encoder_length + 1] == [
            "Dense",
            "Dense",
        ]  # a linear code
        assert network[: network.encoder_length].outputs == 64
        assert kinds[-1] == "Sigmoid"
