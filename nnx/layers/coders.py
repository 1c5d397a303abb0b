"""The family of autoencoders: put noise, terms of the loss and tied weights around an encoder's layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnx.errors import ConfigurationError, flag, number
from nnx.layers.activations import make
from nnx.layers.base import Layer
from nnx.layers.contractive import Contractive
from nnx.layers.dense import Dense
from nnx.layers.descriptions import from_config, kind_of
from nnx.layers.dropout import Dropout
from nnx.layers.noise import GaussianNoise, MaskNoise
from nnx.layers.sparsity import KLSparsity, L1Sparsity
from nnx.layers.tied import TiedDense

NOISES = ("gaussian", "mask")
SPARSITIES = ("l1", "kl")
BETWEEN_0_AND_1 = ("sigmoid", "softmax", "hard_sigmoid")  # what KL needs


@dataclass(frozen=True)
class Coding:
    """How an autoencoder differs from a plain one.

    Attributes
    ----------
    noise : {None, "gaussian", "mask"}
        Noise that training adds to the input: a denoising autoencoder.
    noise_level : float
        Its standard deviation, or the share of the numbers that a mask sets to 0.
    sparsity : {None, "l1", "kl"}
        The term of the loss that makes the code sparse: Σ |code|, or the divergence of each unit's mean
        activation from `sparsity_target`.
    sparsity_weight, sparsity_target : float
    contraction : float
        Weight of the squared norm of the encoder's Jacobian in the loss; 0 for none.
    tied : bool
        Whether the decoder uses the encoder's weights, transposed.
    code_activation : str or None
        Activation of the code by its name in nnx. None is sigmoid with ``sparsity="kl"``, relu with
        ``"l1"``, else linear.
    """

    noise: str | None = None
    noise_level: float = 0.2
    sparsity: str | None = None
    sparsity_weight: float = 0.01
    sparsity_target: float = 0.05
    contraction: float = 0.0
    tied: bool = False
    code_activation: str | None = None

    def check(self) -> None:
        """Refuse invalid values; the error names them.

        Raises
        ------
        ConfigurationError
            If a value is invalid.
        """
        for name, known in (("noise", NOISES), ("sparsity", SPARSITIES)):
            value = getattr(self, name)
            if value is not None and value not in known:
                listed = " or ".join(map(repr, known))
                raise ConfigurationError(f"{name} must be None, {listed}, not {value!r}")
        number("noise_level", self.noise_level, "[0, 1)" if self.noise == "mask" else "[0, inf)")
        number("sparsity_weight", self.sparsity_weight, "[0, inf)")
        number("sparsity_target", self.sparsity_target, "(0, 1)")
        number("contraction", self.contraction, "[0, inf)")
        flag("tied", self.tied)
        function = self.function
        if function is not None:
            make(function)
        if self.sparsity == "kl" and function not in BETWEEN_0_AND_1:
            raise ConfigurationError(
                f"code_activation={function!r}: sparsity='kl' needs a code from 0 to 1: choose 'sigmoid'"
            )

    @property
    def function(self) -> str | None:
        """Return the name of the code's activation; None for a linear code."""
        usual = {"kl": "sigmoid", "l1": "relu"}.get(self.sparsity or "")
        return self.code_activation or usual

    def layers(self, encoder: Sequence[Layer], decoder: Sequence[Layer]) -> tuple[list[Layer], list[Layer]]:
        """Return the layers that encode and those that decode.

        Parameters
        ----------
        encoder : sequence of Layer
            From the input to a linear code.
        decoder : sequence of Layer
            From the code to the output. With tied weights it is replaced, except for views at its end.

        Raises
        ------
        ConfigurationError
            If a value is invalid, or does not fit a layer of the encoder.
        """
        self.check()
        views, core = _split([part for layer in encoder for part in layer.absorb()])
        if self.function is not None:
            core.append(make(self.function))
        if self.tied:
            ending = [layer for layer in decoder if layer.is_view]
            decoder = [*_reversed(core), *ending]
        if self.contraction:
            core = [_contractive(core, self.contraction)]
        return [*self._noise(), *views, *core, *self._sparsity()], list(decoder)

    def _noise(self) -> list[Layer]:
        if self.noise is None:
            return []
        return [MaskNoise(self.noise_level) if self.noise == "mask" else GaussianNoise(self.noise_level)]

    def _sparsity(self) -> list[Layer]:
        if self.sparsity is None:
            return []
        if self.sparsity == "l1":
            return [L1Sparsity(self.sparsity_weight)]
        return [KLSparsity(self.sparsity_weight, self.sparsity_target)]


def _split(layers: Sequence[Layer]) -> tuple[list[Layer], list[Layer]]:
    """Return the views at the begin, and the other layers."""
    first = next(place for place, layer in enumerate(layers) if not layer.is_view)
    return list(layers[:first]), list(layers[first:])


def _contractive(core: Sequence[Layer], weight: float) -> Layer:
    try:
        return Contractive(core, weight)
    except ConfigurationError as error:
        raise ConfigurationError(f"contraction={weight:g}: {error}") from None


def _reversed(core: Sequence[Layer]) -> list[Layer]:
    """Return the decoder with tied weights: dense layers, activations and dropout in reverse order."""
    groups: list[tuple[Dense, list[Layer]]] = []  # each dense layer, and what follows it
    for layer in core:
        if isinstance(layer, Dense) and layer.takes_activation:
            groups.append((layer, []))
        elif groups and (layer.record.activation or isinstance(layer, Dropout)):
            groups[-1][1].append(layer)
        else:
            raise ConfigurationError(
                "tied=True: an encoder with tied weights has dense layers, activations and dropout, not "
                f"{layer!r}"
            )
    decoder: list[Layer] = []
    for place in range(len(groups) - 1, -1, -1):
        decoder.append(TiedDense(groups[place][0]))
        decoder += [_copy(layer) for layer in groups[place - 1][1]] if place else []
    return decoder


def _copy(layer: Any) -> Layer:
    return from_config(kind_of(layer), layer.config())
