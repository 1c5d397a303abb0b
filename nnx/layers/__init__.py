"""Layers: each a forward and a backward pass over rows."""

from nnx.layers.activations import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nnx.layers.base import Layer, from_config, kind_of
from nnx.layers.dense import Dense
from nnx.layers.dropout import Dropout
from nnx.layers.normalization import BatchNorm, LayerNorm
from nnx.layers.plan import Cache, Plan

__all__ = [
    "ELU",
    "GELU",
    "BatchNorm",
    "Cache",
    "Dense",
    "Dropout",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Plan",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "from_config",
    "kind_of",
]
