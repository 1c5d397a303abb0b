"""Write layers on images, and embeddings, as nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nnx.interop.paddings import span
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
    UpSample1D,
    UpSample2D,
)

if TYPE_CHECKING:
    from nnx.interop.onnx_write import Graph


def convolution(graph: Graph, layer: Any, source: str) -> str:
    """Add Conv or ConvTranspose; ONNX has the axes of the kernel last."""
    name, axes = layer.name, len(layer.kernel_size)
    W = graph.values[f"{name}.W"]
    graph.values[f"{name}.W"] = W.transpose([axes + 1, axes, *range(axes)])
    arrays = [f"{name}.W", *([f"{name}.b"] if layer.use_bias else [])]
    attributes = _windows(layer, layer.kernel_size, layer.dilation)
    if any(one != 1 for one in layer.dilation):
        attributes["dilations"] = list(layer.dilation)
    if isinstance(layer, Conv2DTranspose):
        reaches = zip(layer.kernel_size, layer.dilation, layer.strides, strict=True)
        extra = [max(stride - (k - 1) * apart - 1, 0) for k, apart, stride in reaches]
        attributes |= {"output_padding": extra} if any(extra) else {}
        return graph.node("ConvTranspose", [source, *arrays], name, **attributes)
    return graph.node("Conv", [source, *arrays], name, group=layer.groups, **attributes)


def _windows(layer: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> dict[str, Any]:
    """Return the attributes of a layer with windows."""
    size = layer.input_shape[:-1]
    found = span(size, kernel, layer.strides, dilation, layer.padding, isinstance(layer, Conv2DTranspose))
    return {
        "kernel_shape": list(kernel),
        "strides": list(layer.strides),
        "pads": [*found.before, *found.after],
    }


def pooling(graph: Graph, layer: Any, source: str) -> str:
    """Add MaxPool or AveragePool, which does not count padding either."""
    kind = "MaxPool" if isinstance(layer, MaxPool1D | MaxPool2D) else "AveragePool"
    once = (1,) * len(layer.pool_size)
    return graph.node(kind, [source], layer.name, **_windows(layer, layer.pool_size, once))


def global_pooling(graph: Graph, layer: Layer, source: str) -> str:
    """Add GlobalAveragePool or GlobalMaxPool, and Flatten to drop the axes of length 1 that it keeps."""
    average = isinstance(layer, GlobalAveragePool1D | GlobalAveragePool2D)
    kind = "GlobalAveragePool" if average else "GlobalMaxPool"
    source = graph.node(kind, [source], f"{layer.name}.pool")
    return graph.node("Flatten", [source], layer.name, axis=1)


def up_sample(graph: Graph, layer: Any, source: str) -> str:
    """Add Resize that repeats each number."""
    scales = f"{layer.name}.scales"
    graph.values[scales] = np.array([1.0, 1.0, *layer.size], np.float32)
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}
    return graph.node("Resize", [source, "", scales], layer.name, **how)


def embedding(graph: Graph, layer: Layer, source: str) -> str:
    """Add Gather of the rows of the table."""
    return graph.node("Gather", [f"{layer.name}.W", source], layer.name, axis=0)


Write = Callable[["Graph", Any, str], str]
IMAGES: dict[type[Layer], Write] = {
    Conv1D: convolution,
    Conv2D: convolution,
    Conv2DTranspose: convolution,
    MaxPool1D: pooling,
    MaxPool2D: pooling,
    AveragePool1D: pooling,
    AveragePool2D: pooling,
    GlobalAveragePool1D: global_pooling,
    GlobalAveragePool2D: global_pooling,
    GlobalMaxPool1D: global_pooling,
    GlobalMaxPool2D: global_pooling,
    UpSample1D: up_sample,
    UpSample2D: up_sample,
}
OTHERS: dict[type[Layer], Write] = {Embedding: embedding}
