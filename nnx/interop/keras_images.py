"""Read Keras's layers on images and sequences, and its embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx.errors import ConfigurationError
from nnx.interop.parts import Part
from nnx.layers import (
    AveragePool1D,
    AveragePool2D,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Embedding,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    Layer,
    MaxPool1D,
    MaxPool2D,
    SpatialDropout1D,
    SpatialDropout2D,
    UpSample1D,
    UpSample2D,
)

Reader = Callable[[Any, Any, int], list[Part]]


def check_channels(layer: Any) -> None:
    """Refuse a layer whose images have their channels on another axis than the last."""
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        raise ConfigurationError("its data_format is channels_first: nnx has channels on the last axis")


def _values(keras: Any, kernel: Any, bias: Any = None) -> dict[str, Any]:
    values = {"W": keras.ops.convert_to_numpy(kernel)}
    return values if bias is None else values | {"b": keras.ops.convert_to_numpy(bias)}


def _arguments(layer: Any, most: int) -> dict[str, Any]:
    """Return the arguments that all convolutions have; `most` is how many arrays the layer may have."""
    check_channels(layer)
    if layer.padding not in ("valid", "same"):
        raise ConfigurationError(f"its padding is {layer.padding!r}: nnx has valid and same")
    if len(layer.weights) > most:
        raise ConfigurationError("nnx has no adapted (LoRA) or quantized weights")
    return {
        "kernel_size": layer.kernel_size,
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation": layer.dilation_rate,
    }


def _convolution(kind: type[Layer]) -> Reader:
    """Return a reader of Conv1D, Conv2D or Conv2DTranspose."""

    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        arguments = _arguments(layer, 2) | {"filters": layer.filters, "use_bias": layer.use_bias}
        if getattr(layer, "output_padding", None) is not None:
            raise ConfigurationError("nnx's Conv2DTranspose has no output_padding: use None, the default")
        if kind is not Conv2DTranspose:
            arguments["groups"] = layer.groups
        return [Part(kind(**arguments), _values(keras, layer.kernel, layer.bias))]

    return read


def _depthwise(kind: type[Layer]) -> Reader:
    """Return a reader of DepthwiseConv1D or DepthwiseConv2D: as many groups as channels."""

    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        return [_by_channel(keras, kind, layer, layer.kernel, layer.bias, 2)]

    return read


def _separable(kind: type[Conv1D | Conv2D]) -> Reader:
    """Return a reader of SeparableConv1D or SeparableConv2D: a depthwise convolution, then one of size 1."""

    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        depthwise = _by_channel(keras, kind, layer, layer.depthwise_kernel, None, 3)
        values = _values(keras, layer.pointwise_kernel, layer.bias)
        return [depthwise, Part(kind(layer.filters, 1, use_bias=layer.bias is not None), values)]

    return read


def _by_channel(keras: Any, kind: Any, layer: Any, kernel: Any, bias: Any, most: int) -> Part:
    """Return a convolution of each channel, from a kernel of shape (…, channels, filters of each)."""
    values = _values(keras, kernel, bias)
    *sizes, channels, each = values["W"].shape
    values["W"] = values["W"].reshape(*sizes, 1, channels * each)
    arguments = _arguments(layer, most) | {"groups": channels, "use_bias": bias is not None}
    return Part(kind(channels * each, **arguments), values)


def _pooling(kind: type[Layer]) -> Reader:
    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        check_channels(layer)
        return [Part(kind(pool_size=layer.pool_size, strides=layer.strides, padding=layer.padding), {})]  # type: ignore[call-arg]

    return read


def _global_pooling(kind: type[Layer]) -> Reader:
    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        check_channels(layer)
        if layer.keepdims:
            raise ConfigurationError(
                f"it keeps axes of length 1 (keepdims): nnx's {kind.__name__} drops them"
            )
        return [Part(kind(), {})]

    return read


def _up_sampling(kind: type[Layer]) -> Reader:
    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        check_channels(layer)
        how = getattr(layer, "interpolation", "nearest")
        if how != "nearest":
            raise ConfigurationError(f"its interpolation is {how!r}: nnx's {kind.__name__} takes the nearest")
        return [Part(kind(size=layer.size), {})]  # type: ignore[call-arg]

    return read


def _spatial_dropout(kind: type[Layer]) -> Reader:
    def read(keras: Any, layer: Any, rank: int) -> list[Part]:
        check_channels(layer)
        return [Part(kind(layer.rate), {})]  # type: ignore[call-arg]

    return read


def _embedding(keras: Any, layer: Any, rank: int) -> list[Part]:
    if layer.mask_zero:
        raise ConfigurationError("nnx has no masks: use mask_zero=False if no later layer uses the mask")
    if len(layer.weights) > 1:
        raise ConfigurationError("nnx has no adapted (LoRA) or quantized weights")
    values = _values(keras, layer.embeddings)
    return [Part(Embedding(layer.input_dim, layer.output_dim), values)]


CONVOLUTIONS: dict[str, Reader] = {
    "Conv1D": _convolution(Conv1D),
    "Conv2D": _convolution(Conv2D),
    "Conv2DTranspose": _convolution(Conv2DTranspose),
    "DepthwiseConv1D": _depthwise(Conv1D),
    "DepthwiseConv2D": _depthwise(Conv2D),
    "SeparableConv1D": _separable(Conv1D),
    "SeparableConv2D": _separable(Conv2D),
}
OTHERS: dict[str, Reader] = {
    "MaxPooling1D": _pooling(MaxPool1D),
    "MaxPooling2D": _pooling(MaxPool2D),
    "AveragePooling1D": _pooling(AveragePool1D),
    "AveragePooling2D": _pooling(AveragePool2D),
    "GlobalAveragePooling1D": _global_pooling(GlobalAveragePool1D),
    "GlobalAveragePooling2D": _global_pooling(GlobalAveragePool2D),
    "GlobalMaxPooling1D": _global_pooling(GlobalMaxPool1D),
    "GlobalMaxPooling2D": _global_pooling(GlobalMaxPool2D),
    "UpSampling1D": _up_sampling(UpSample1D),
    "UpSampling2D": _up_sampling(UpSample2D),
    "SpatialDropout1D": _spatial_dropout(SpatialDropout1D),
    "SpatialDropout2D": _spatial_dropout(SpatialDropout2D),
    "Embedding": _embedding,
}
