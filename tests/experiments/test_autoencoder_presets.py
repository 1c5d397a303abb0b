"""The presets have the shapes of the reference systems, and their rates of learning."""

from __future__ import annotations

import math

import pytest

import nnx
from nnx.experiments import autoencoder
from nnx.experiments.autoencoder_presets import warm_cosine

pytestmark = pytest.mark.usefixtures("device")


def test_presets_have_the_shapes_of_the_reference_systems():
    def widths(preset):
        network = autoencoder.build(autoencoder.Config(preset))
        dense = [layer for layer in network.layers if isinstance(layer, nnx.Dense)]
        kinds = [type(layer).__name__ for layer in network.layers]
        return [784, *(layer.outputs for layer in dense)], kinds, network

    assert widths("deep")[0] == [784, 512, 256, 128, 64, 128, 256, 512, 784]
    assert widths("shallow")[0] == [784, 128, 64, 128, 784]
    for preset in ("deep", "shallow", "best", "conv"):
        _, kinds, network = widths(preset)
        convolutional = {"Reshape", "Conv2D", "Flatten", "Conv2DTranspose"} if preset == "conv" else set()
        activation = "SiLU" if preset in ("best", "conv") else "ReLU"
        assert set(kinds) - {activation} == {"Dense", "Sigmoid"} | convolutional
        assert kinds[network.encoder_length - 1 : network.encoder_length + 1] == [
            "Dense",
            "Dense",
        ]  # a linear code
        assert network[: network.encoder_length].outputs == 64
        assert kinds[-1] == "Sigmoid"


@pytest.mark.parametrize(
    ("preset", "encoder", "decoder"),
    [
        ("denoising", ["MaskNoise", *["Dense", "ReLU"] * 3, "Dense"], [*["Dense", "ReLU"] * 3, "Dense"]),
        ("sparse", [*["Dense", "ReLU"] * 3, "L1Sparsity"], [*["Dense", "ReLU"] * 2, "Dense"]),
        ("contractive", ["Contractive"], ["TiedDense"]),
        ("tied", [*["Dense", "ReLU"] * 3, "Dense"], [*["TiedDense", "ReLU"] * 3, "TiedDense"]),
    ],
)
def test_presets_of_the_family_have_their_layers(preset, encoder, decoder):
    network = autoencoder.build(autoencoder.Config(preset))
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [*encoder, *decoder, "Sigmoid"]
    assert network.encoder_length == len(encoder)
    assert network[: network.encoder_length].outputs == 64


def test_the_rate_of_best_rises_for_a_twentieth_of_the_steps_and_falls_to_zero_as_a_cosine():
    rate = warm_cosine(0.2, 100)
    assert [rate(step) for step in range(5)] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rate(5 + 95 // 2) == pytest.approx(0.1 * (1.0 + math.cos(math.pi * 47 / 95)))
    assert rate(100) == pytest.approx(0.0, abs=1e-12)
    assert warm_cosine(0.2, 1)(0) == pytest.approx(0.2)  # the shortest training has no step to lose
