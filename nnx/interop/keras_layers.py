"""Each layer that nnx and Keras both have, in both directions: its options and its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx.errors import ConfigurationError
from nnx.interop.parts import Part
from nnx.layers import (
    ELU,
    GELU,
    BatchNorm,
    Dense,
    Dropout,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

GELU_TANH = "gelu_tanh"  # registered with Keras as "nnx>gelu_tanh": Keras itself has no name for it


# ------------------------------------------------------------------------------- nnx to Keras


def _activation(name: str) -> Callable[[Any, Any, dict[str, Any]], Any]:
    return lambda keras, layer, common: keras.layers.Activation(name, **common)


def _gelu(keras: Any, layer: GELU, common: dict[str, Any]) -> Any:
    by_tanh = keras.saving.get_registered_object(f"nnx>{GELU_TANH}")
    return keras.layers.Activation(by_tanh if layer.approximate else "gelu", **common)


def _batch_norm(keras: Any, layer: BatchNorm, common: dict[str, Any]) -> Any:
    return keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, **common)


# Keras keeps a layer's arrays in nnx's own order: trained ones, then running statistics.
WRITERS: dict[type[Layer], Callable[[Any, Any, dict[str, Any]], Any]] = {
    Dense: lambda keras, layer, common: keras.layers.Dense(layer.units, **common),
    ReLU: lambda keras, layer, common: keras.layers.ReLU(**common),
    LeakyReLU: lambda keras, layer, common: keras.layers.LeakyReLU(negative_slope=layer.alpha, **common),
    ELU: lambda keras, layer, common: keras.layers.ELU(alpha=layer.alpha, **common),
    GELU: _gelu,
    SiLU: _activation("silu"),
    Sigmoid: _activation("sigmoid"),
    Tanh: _activation("tanh"),
    Softplus: _activation("softplus"),
    Softmax: lambda keras, layer, common: keras.layers.Softmax(**common),
    Identity: lambda keras, layer, common: keras.layers.Identity(**common),
    Dropout: lambda keras, layer, common: keras.layers.Dropout(layer.rate, **common),
    BatchNorm: _batch_norm,
    LayerNorm: lambda keras, layer, common: keras.layers.LayerNormalization(epsilon=layer.epsilon, **common),
}

# ------------------------------------------------------------------------------- Keras to nnx

FUNCTIONS: dict[str, Callable[[], Layer]] = {
    "linear": Identity,
    "relu": ReLU,
    "leaky_relu": lambda: LeakyReLU(0.2),
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softplus": Softplus,
    "softmax": Softmax,
}


def read(keras: Any, layer: Any) -> list[Part]:
    """The layers of nnx that do what a layer of Keras does; more than one for ``Dense(activation=…)``.

    Raises
    ------
    ConfigurationError
        If nnx has no such layer, or not with these options.
    """
    for name, reader in READERS.items():
        if type(layer) is getattr(keras.layers, name):
            parts = reader(keras, layer)
            for part in parts:
                part.layer.trainable = layer.trainable
            return parts
    raise ConfigurationError(NO_SUCH_LAYER)


def _function(keras: Any, function: Any) -> list[Part]:
    if isinstance(function, keras.layers.Layer):
        return read(keras, function)
    if function is keras.saving.get_registered_object(f"nnx>{GELU_TANH}"):
        return [Part(GELU(approximate=True), {})]
    for name, make in FUNCTIONS.items():
        if function is getattr(keras.activations, name):
            return [Part(make(), {})]
    raise ConfigurationError(f"nnx has no activation {getattr(function, '__name__', function)!r}")


def _read_dense(keras: Any, layer: Any) -> list[Part]:
    if len(layer.weights) > 2:
        raise ConfigurationError("nnx has no adapted (LoRA) or quantized weights")
    values = _values(keras, W=layer.kernel, b=layer.bias)
    following = _function(keras, layer.activation)
    linear = type(following[0].layer) is Identity
    return [Part(Dense(*values["W"].shape), values), *([] if linear else following)]


def _read_relu(keras: Any, layer: Any) -> list[Part]:
    if layer.max_value is not None or layer.threshold:
        raise ConfigurationError("nnx's ReLU has no max_value and no threshold")
    slope = float(layer.negative_slope)
    return [Part(LeakyReLU(slope) if slope else ReLU(), {})]


def _read_softmax(keras: Any, layer: Any) -> list[Part]:
    if layer.axis not in (-1, 1):
        raise ConfigurationError(f"nnx's Softmax runs over each row, not over the axis {layer.axis}")
    return [Part(Softmax(), {})]


def _read_dropout(keras: Any, layer: Any) -> list[Part]:
    if layer.noise_shape is not None:
        raise ConfigurationError("nnx's Dropout has no noise_shape")
    return [Part(Dropout(layer.rate), {})]


def _read_batch_norm(keras: Any, layer: Any) -> list[Part]:
    if getattr(layer, "renorm", False):
        raise ConfigurationError("nnx's BatchNorm does not renormalize")
    if layer.axis not in (-1, 1):
        raise ConfigurationError(f"nnx's BatchNorm has features in each row, not on the axis {layer.axis}")
    values = _values(
        keras,
        gamma=layer.gamma,
        beta=layer.beta,
        running_mean=layer.moving_mean,
        running_variance=layer.moving_variance,
    )
    return [Part(BatchNorm(layer.momentum, layer.epsilon), values)]


def _read_layer_norm(keras: Any, layer: Any) -> list[Part]:
    if getattr(layer, "rms_scaling", False):
        raise ConfigurationError("nnx's LayerNorm has no rms_scaling")
    axes = list(layer.axis) if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if axes not in ([-1], [1]):
        raise ConfigurationError(f"nnx's LayerNorm runs over each row, not over the axes {axes}")
    return [Part(LayerNorm(layer.epsilon), _values(keras, gamma=layer.gamma, beta=layer.beta))]


def _values(keras: Any, **variables: Any) -> dict[str, Any]:
    """Variables on the host. Those the layer was built without stay at nnx's start: γ = 1, β = 0, b = 0."""
    return {name: keras.ops.convert_to_numpy(v) for name, v in variables.items() if v is not None}


READERS: dict[str, Callable[[Any, Any], list[Part]]] = {
    "Dense": _read_dense,
    "Activation": lambda keras, layer: _function(keras, layer.activation),
    "ReLU": _read_relu,
    "LeakyReLU": lambda keras, layer: [Part(LeakyReLU(float(layer.negative_slope)), {})],
    "ELU": lambda keras, layer: [Part(ELU(float(layer.alpha)), {})],
    "Softmax": _read_softmax,
    "Identity": lambda keras, layer: [Part(Identity(), {})],
    "Dropout": _read_dropout,
    "BatchNormalization": _read_batch_norm,
    "LayerNormalization": _read_layer_norm,
}

NO_SUCH_LAYER = f"nnx has no such layer; these go over: {', '.join(READERS)}"
