"""Convert each layer that nnx and Keras both have, in both directions: its options and its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop import keras_images as images
from nnx.interop.affine import Scaling, clip, exact_type, far_offset, rescale
from nnx.interop.keras_chain import JOINS
from nnx.interop.parts import Part
from nnx.layers import (
    ACTIVATIONS,
    GELU,
    KINDS,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Identity,
    L1Sparsity,
    Layer,
    LayerNorm,
    LeakyReLU,
    PReLU,
    ReLU,
    Rescale,
    Softmax,
    Softplus,
    UpSample1D,
)
from nnx.layers.containers import Container
from nnx.records import Counterpart

Reader = Callable[[Any, Any, int], list[Part]]

GELU_TANH = "gelu_tanh"  # registered with Keras as "nnx>gelu_tanh", as Keras has no name for it


# ------------------------------------------------------------------------------- nnx to Keras


WRITABLE = {kind: kind.record.keras for kind in KINDS if isinstance(kind.record.keras, Counterpart)}


def write(keras: Any, layer: Layer, common: dict[str, Any]) -> Any:
    """Make Keras's layer for one of nnx of a class in `WRITABLE`; it keeps its arrays in nnx's order."""
    if isinstance(layer, GELU) and layer.approximate:
        return keras.layers.Activation(keras.saving.get_registered_object(f"nnx>{GELU_TANH}"), **common)
    if isinstance(layer, Rescale):
        return _rescale(keras, layer, common)
    theirs = WRITABLE[type(layer)]
    if isinstance(layer, UpSample1D):  # it takes a number only
        return keras.layers.UpSampling1D(*layer.size, **common)
    return getattr(keras.layers, theirs.name)(**theirs.values(layer), **common)


def _rescale(keras: Any, layer: Rescale, common: dict[str, Any]) -> Any:
    scale, offset = (np.atleast_1d(np.asarray(value)) for value in (layer.scale, layer.offset))
    kind = np.dtype(np.float64).name if far_offset(layer) else common["dtype"]
    return keras.layers.Rescaling(scale, offset, **common | {"dtype": kind})


def scaled(keras: Any, scaling: Scaling, dtype: np.dtype[Any]) -> list[Any]:
    """Return layers for (x - shift) / scale, which subtract first; in float64 if they subtract."""
    kind, one = exact_type(scaling, dtype).name, np.ones(1)
    shift = [keras.layers.Rescaling(one, -scaling.shift, name="inputs_shift", dtype=kind)]
    scale = keras.layers.Rescaling(1.0 / scaling.scale, np.zeros(1), name="inputs_scale", dtype=kind)
    return [*(shift if scaling.shift.any() else []), scale]


def unscaled(keras: Any, scaling: Scaling, dtype: np.dtype[Any]) -> list[Any]:
    """Return a layer for z scale + shift; in float64 if it adds."""
    kind = exact_type(scaling, dtype).name
    return [keras.layers.Rescaling(scaling.scale, scaling.shift, name="outputs_scale", dtype=kind)]


def far_batch_norm(keras: Any, layer: BatchNorm, common: Any, weights: dict[str, Any]) -> list[Any]:
    """Return a frozen BatchNorm as layers that subtract its large mean first; Keras would multiply it out."""
    gamma, beta, mean, variance = (
        np.asarray(weights[f"{layer.name}.{name}"], np.float64)
        for name in ("gamma", "beta", "running_mean", "running_variance")
    )
    factor = gamma / np.sqrt(variance + layer.epsilon)
    first = keras.layers.Rescaling(np.ones(1), -mean, **common | {"name": f"{layer.name}_mean"})
    return [first, keras.layers.Rescaling(factor, beta, **common | {"name": f"{layer.name}_scale"})]


# ------------------------------------------------------------------------------- Keras to nnx


def _one(make: Callable[[], Layer]) -> Callable[[], list[Part]]:
    return lambda: [Part(make(), {})]


# Keras calls its functions by names that nnx knows too
FUNCTIONS: dict[str, Callable[[], list[Part]]] = {name: _one(kind) for name, kind in ACTIVATIONS.items()} | {
    "leaky_relu": _one(lambda: LeakyReLU(0.2)),
    "relu6": lambda: clip([], 0.0, 6.0),
    "hard_tanh": lambda: clip([], -1.0, 1.0),
    "log_sigmoid": lambda: [rescale(-1.0), Part(Softplus(), {}), rescale(-1.0)],
}
NO_LOG_SOFTMAX = "nnx has no log_softmax: use softmax in its place, or remove it from the model"


def read(keras: Any, layer: Any, rank: int) -> list[Part]:
    """Return the layers of nnx that compute a Keras layer; two or more for ``Dense(activation=…)``.

    `rank` is the number of axes of its input, with the batch axis.
    """
    for name, reader in READERS.items():
        if type(layer) is getattr(keras.layers, name, None):
            parts = reader(keras, layer, rank)
            for part in parts:
                part.layer.trainable = layer.trainable
            return parts
    raise ConfigurationError(NO_SUCH_LAYER)


def _function(keras: Any, function: Any, rank: int) -> list[Part]:
    if isinstance(function, keras.layers.Layer):
        return read(keras, function, rank)
    if function is keras.saving.get_registered_object(f"nnx>{GELU_TANH}"):
        return [Part(GELU(approximate=True), {})]
    for name, make in FUNCTIONS.items():
        if function is getattr(keras.activations, name, None):
            return make()
    if function is getattr(keras.activations, "log_softmax", None):
        raise ConfigurationError(NO_LOG_SOFTMAX)
    raise ConfigurationError(f"nnx has no activation {getattr(function, '__name__', function)!r}")


def _read_dense(keras: Any, layer: Any, rank: int) -> list[Part]:
    if len(layer.weights) > 2:
        raise ConfigurationError("nnx has no adapted (LoRA) or quantized weights")
    values = _values(keras, W=layer.kernel, b=layer.bias)
    return [Part(Dense(*values["W"].shape), values), *_activation(keras, layer, rank)]


def _activation(keras: Any, layer: Any, rank: int) -> list[Part]:
    """Return what follows a layer that also computes an activation."""
    following = _function(keras, layer.activation, rank)
    return [] if type(following[0].layer) is Identity else following


def _with_activation(reader: Reader) -> Reader:
    return lambda keras, layer, rank: [*reader(keras, layer, rank), *_activation(keras, layer, rank)]


def _read_relu(keras: Any, layer: Any, rank: int) -> list[Part]:
    if layer.threshold:
        raise ConfigurationError("nnx's ReLU has no threshold")
    slope = float(layer.negative_slope)
    parts = [Part(LeakyReLU(slope) if slope else ReLU(), {})]
    return parts if layer.max_value is None else clip(parts, high=float(layer.max_value))


def _read_prelu(keras: Any, layer: Any, rank: int) -> list[Part]:
    shared = layer.shared_axes
    shared = [shared] if isinstance(shared, int) else shared
    return [Part(PReLU(shared), {"alpha": keras.ops.convert_to_numpy(layer.alpha)})]


def _read_rescaling(keras: Any, layer: Any, rank: int) -> list[Part]:
    return [rescale(_row(keras, layer.scale), _row(keras, layer.offset))]


def _read_normalization(keras: Any, layer: Any, rank: int) -> list[Part]:
    mean, variance = (_row(keras, value) for value in (layer.mean, layer.variance))
    sigma = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    return [rescale(sigma, mean) if layer.invert else rescale(1.0 / sigma, -mean / sigma)]


def _row(keras: Any, value: Any) -> Any:
    """Return a constant that is the same for every row."""
    array = np.asarray(keras.ops.convert_to_numpy(value), np.float64)
    if array.size != (array.shape[-1] if array.ndim else 1):
        raise ConfigurationError(
            f"its constants have the shape {array.shape}: nnx uses one number for each feature"
        )
    return array.reshape(-1)


def _read_softmax(keras: Any, layer: Any, rank: int) -> list[Part]:
    if not _is_last(layer.axis, rank):
        raise ConfigurationError(f"nnx's Softmax works on the last axis, not on axis {layer.axis}")
    return [Part(Softmax(), {})]


def _read_dropout(keras: Any, layer: Any, rank: int) -> list[Part]:
    if layer.noise_shape is not None:
        raise ConfigurationError("nnx's Dropout has no noise_shape")
    return [Part(Dropout(layer.rate), {})]


def _read_batch_norm(keras: Any, layer: Any, rank: int) -> list[Part]:
    if getattr(layer, "renorm", False):
        raise ConfigurationError("nnx's BatchNorm does not renormalize")
    if not _is_last(layer.axis, rank):
        raise ConfigurationError(f"nnx's BatchNorm has features on the last axis, not on axis {layer.axis}")
    values = _values(
        keras,
        gamma=layer.gamma,
        beta=layer.beta,
        running_mean=layer.moving_mean,
        running_variance=layer.moving_variance,
    )
    return [Part(BatchNorm(layer.momentum, layer.epsilon), values)]


def _read_layer_norm(keras: Any, layer: Any, rank: int) -> list[Part]:
    if getattr(layer, "rms_scaling", False):
        raise ConfigurationError("nnx's LayerNorm has no rms_scaling")
    if not _is_last(layer.axis, rank):
        raise ConfigurationError(f"nnx's LayerNorm works on the last axis, not on {layer.axis}")
    return [Part(LayerNorm(layer.epsilon), _values(keras, gamma=layer.gamma, beta=layer.beta))]


def _read_flatten(keras: Any, layer: Any, rank: int) -> list[Part]:
    if rank > 2 and layer.data_format == "channels_first":
        raise ConfigurationError("nnx cannot move the channels to the end")
    return [Part(Flatten(), {})]


def _is_last(axis: Any, rank: int) -> bool:
    """Return whether an axis, or the only one of several, is the last of `rank`."""
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    return axes in ([-1], [rank - 1])


def _values(keras: Any, **variables: Any) -> dict[str, Any]:
    """Return variables on the host. Missing ones keep nnx's initial values: γ = 1, β = 0, b = 0."""
    return {name: keras.ops.convert_to_numpy(v) for name, v in variables.items() if v is not None}


def _plain_reader(kind: type[Layer], theirs: Counterpart) -> Reader:
    """Return a reader of a layer without arrays: its options go by the record."""
    return lambda keras, layer, rank: [
        Part(kind(**{ours: getattr(layer, name) for name, ours in theirs.arguments.items()}), {})
    ]


READERS: dict[str, Reader] = {
    theirs.name: _plain_reader(kind, theirs)
    for kind, theirs in WRITABLE.items()
    if not issubclass(kind, Container)
} | {
    "Dense": _read_dense,
    "Activation": lambda keras, layer, rank: _function(keras, layer.activation, rank),
    "ReLU": _read_relu,
    "Softmax": _read_softmax,
    "PReLU": _read_prelu,
    "Rescaling": _read_rescaling,
    "Normalization": _read_normalization,
    "Dropout": _read_dropout,
    "Identity": lambda keras, layer, rank: [Part(Identity(), {})],
    "ActivityRegularization": lambda keras, layer, rank: [Part(L1Sparsity(float(layer.l1)), {})],
    "BatchNormalization": _read_batch_norm,
    "LayerNormalization": _read_layer_norm,
    "Flatten": _read_flatten,
    **images.OTHERS,
    **{name: _with_activation(reader) for name, reader in images.CONVOLUTIONS.items()},
}

# These layers only change data in training.
NOTHING = ("GaussianDropout", "AlphaDropout")
KNOWN = (*READERS, *JOINS, *NOTHING)


def is_nothing(keras: Any, layer: Any) -> bool:
    """Return whether a layer only changes training, in a way that nnx has no layer for."""
    kind = type(layer).__name__
    known = type(layer) is getattr(keras.layers, kind, None)
    return known and (kind in NOTHING or (kind == "ActivityRegularization" and bool(layer.l2)))


NO_SUCH_LAYER = f"nnx has no such layer; it can read {', '.join(KNOWN)}"
