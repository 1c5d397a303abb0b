"""The layers of the family of autoencoders: what is put around an encoder, and in which order."""

from __future__ import annotations

import pytest

import nnx
from nnx.errors import ConfigurationError
from nnx.layers.coders import Coding


def kinds(coding: Coding, encoder=None, decoder=None) -> tuple[list[str], list[str]]:
    encoder = encoder or [nnx.Dense(5), nnx.ReLU(), nnx.Dense(3)]
    decoder = decoder or [nnx.Dense(5), nnx.ReLU(), nnx.Dense(8)]
    first, second = coding.layers(encoder, decoder)
    return [type(one).__name__ for one in first], [type(one).__name__ for one in second]


def test_without_options_nothing_changes():
    assert kinds(Coding()) == (["Dense", "ReLU", "Dense"], ["Dense", "ReLU", "Dense"])


def test_each_part_has_its_place():
    coding = Coding(noise="mask", sparsity="kl", contraction=0.1, tied=True)
    encoder = [nnx.Flatten(), nnx.Dense(5, activation="tanh"), nnx.Dense(3)]
    decoder = [nnx.Dense(5), nnx.Tanh(), nnx.Dense(8), nnx.Reshape((2, 4))]
    assert kinds(coding, encoder, decoder) == (
        ["MaskNoise", "Flatten", "Contractive", "KLSparsity"], ["TiedDense", "Tanh", "TiedDense", "Reshape"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("coding", "function"),
    [
        (Coding(), None),
        (Coding(sparsity="l1"), "relu"),
        (Coding(sparsity="kl"), "sigmoid"),
        (Coding(sparsity="l1", code_activation="softplus"), "softplus"),
        (Coding(code_activation="tanh"), "tanh"),
    ],
)
def test_the_code_s_activation(coding, function):
    assert coding.function == function


def test_values_are_checked_without_layers():
    Coding(noise="gaussian", noise_level=3.0).check()
    with pytest.raises(ConfigurationError, match="noise_level"):
        Coding(noise="mask", noise_level=3.0).check()
