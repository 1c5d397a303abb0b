"""Compute, from Keras's description of a layer, how many numbers it holds and the shape of a row after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Shape = list[int]
Sized = Callable[[dict[str, Any], Shape], tuple[int, Shape]]


def claimed(kind: str, config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    """Return how many numbers a layer holds at least, and the shape of a row after it."""
    known = SIZED.get(kind)
    return (0, shape) if known is None else known(config, shape)


def _lengths(value: Any, axes: int) -> list[int]:
    """Return a number for each axis, from one number for all or one for each."""
    return [int(one) for one in value] if isinstance(value, list | tuple) else [int(value)] * axes


def _windows(config: dict[str, Any], size: Any, shape: Shape) -> Shape:
    """Return how many windows there are on each axis but the channels."""
    axes, found = len(shape) - 1, []
    sizes = _lengths(size, axes)
    strides = sizes if config["strides"] is None else _lengths(config["strides"], axes)
    apart = _lengths(config.get("dilation_rate", 1), axes)
    for length, kernel, stride, dilation in zip(shape, sizes, strides, apart, strict=False):
        reach = 0 if config["padding"] != "valid" else (kernel - 1) * dilation
        found.append(-(-(length - reach) // stride))
    return found


def _dense(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    return config["units"] * shape[-1], [*shape[:-1], config["units"]]


def _convolution(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    kernel = math.prod(_lengths(config["kernel_size"], len(shape) - 1))
    held = kernel * shape[-1] // config["groups"] * config["filters"]
    return held, [*_windows(config, config["kernel_size"], shape), config["filters"]]


def _transposed(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    axes = len(shape) - 1
    kernel, strides, apart = (
        _lengths(config[name], axes) for name in ("kernel_size", "strides", "dilation_rate")
    )
    after = []
    for length, k, stride, dilation in zip(shape, kernel, strides, apart, strict=False):
        reach = 0 if config["padding"] == "same" else (k - 1) * dilation + 1
        after.append(length * stride + max(reach - stride, 0))
    return math.prod(kernel) * shape[-1] * config["filters"], [*after, config["filters"]]


def _depthwise(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    kernel = math.prod(_lengths(config["kernel_size"], len(shape) - 1))
    channels = shape[-1] * config["depth_multiplier"]
    return kernel * channels, [*_windows(config, config["kernel_size"], shape), channels]


def _separable(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    held, after = _depthwise(config, shape)
    return held + after[-1] * config["filters"], [*after[:-1], config["filters"]]


def _pooling(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    return 0, [*_windows(config, config["pool_size"], shape), shape[-1]]


def _global_pooling(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    return 0, [shape[-1]]


def _up_sampling(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    sizes = _lengths(config["size"], len(shape) - 1)
    return 0, [*(n * size for n, size in zip(shape, sizes, strict=False)), shape[-1]]


def _embedding(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    return config["input_dim"] * config["output_dim"], [*shape, config["output_dim"]]


def _reshape(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    to = [int(size) for size in config["target_shape"]]
    known = math.prod(size for size in to if size != -1)
    return 0, [math.prod(shape) // known if size == -1 else size for size in to]


def _features(config: dict[str, Any], shape: Shape) -> tuple[int, Shape]:
    return shape[-1], shape


SIZED: dict[str, Sized] = {
    "Dense": _dense,
    "PReLU": lambda config, shape: (math.prod(shape), shape),
    "BatchNormalization": _features,
    "LayerNormalization": _features,
    "Normalization": _features,
    "Flatten": lambda config, shape: (0, [math.prod(shape)]),
    "Reshape": _reshape,
    "Embedding": _embedding,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Conv2DTranspose": _transposed,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "MaxPooling1D": _pooling,
    "MaxPooling2D": _pooling,
    "AveragePooling1D": _pooling,
    "AveragePooling2D": _pooling,
    "GlobalAveragePooling1D": _global_pooling,
    "GlobalAveragePooling2D": _global_pooling,
    "GlobalMaxPooling1D": _global_pooling,
    "GlobalMaxPooling2D": _global_pooling,
    "UpSampling1D": _up_sampling,
    "UpSampling2D": _up_sampling,
}
