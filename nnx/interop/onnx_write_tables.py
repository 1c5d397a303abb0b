"""Write layers for the columns of a table as nodes of an ONNX graph; they are only written, not read."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from nnx.interop.onnx_write_images import Write
from nnx.layers import (
    CategoryEmbedding,
    Columns,
    FeatureScale,
    Layer,
    MemberDense,
    Members,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
)

if TYPE_CHECKING:
    from nnx.interop.onnx_write import Graph


def columns(graph: Graph, layer: Columns, source: str) -> str:
    """Add Slice of the features."""
    names = [f"{layer.name}.{name}" for name in ("start", "stop", "axis")]
    for name, value in zip(names, (layer.start, layer.stop, 1), strict=True):
        graph.values[name] = np.array([value])
    return graph.node("Slice", [source, *names], layer.name)


def feature_scale(graph: Graph, layer: FeatureScale, source: str) -> str:
    """Add Mul."""
    return graph.node("Mul", [source, f"{layer.name}.s"], layer.name)


def members(graph: Graph, layer: Members, source: str) -> str:
    """Add Mul of the row, on an axis of length 1, with the factors of each member."""
    source = _reshaped(graph, source, f"{layer.name}.row", 1, layer.inputs)
    return graph.node("Mul", [source, f"{layer.name}.R"], layer.name)


def member_dense(graph: Graph, layer: MemberDense, source: str) -> str:
    """Add MatMul of each member's rows with its W, and Add."""
    product = _grouped(graph, layer, source, f"{layer.name}.W")
    return graph.node("Add", [product, f"{layer.name}.b"], layer.name)


def category_embedding(graph: Graph, layer: CategoryEmbedding, source: str) -> str:
    """Add Gather of the vectors; what is no category of its column counts as 0."""
    name, count = layer.name, len(layer.cardinalities)
    graph.values[f"{name}.zero"] = np.zeros(1, graph.dtype)
    graph.values[f"{name}.limits"] = np.array(layer.cardinalities, graph.dtype)
    rounded = graph.node("Round", [source], f"{name}.round")
    above = graph.node("GreaterOrEqual", [rounded, f"{name}.zero"], f"{name}.above")
    below = graph.node("Less", [rounded, f"{name}.limits"], f"{name}.below")
    known = graph.node("And", [above, below], f"{name}.known")
    code = graph.node("Where", [known, rounded, f"{name}.zero"], f"{name}.code")
    code = graph.cast(code, np.dtype(np.int64), f"{name}.whole")
    begins = np.array([0, *accumulate(layer.cardinalities)][:-1])
    place = graph.constant("Add", code, f"{name}.begins", begins)
    vectors = graph.node("Gather", [f"{name}.W", place], f"{name}.gather", axis=0)
    return _reshaped(graph, vectors, name, count * layer.units)


def piecewise_linear(graph: Graph, layer: PiecewiseLinearEmbedding, source: str) -> str:
    """Add e = min(max(x · slope + start, lowest), highest), and e W + b + x v."""
    name, features = layer.name, len(layer.edges)
    number = source = _reshaped(graph, source, f"{name}.numbers", features, 1)
    assert layer.arena is not None
    for kind, key, table in zip(
        ("Mul", "Add", "Max", "Min"),
        ("slope", "start", "lowest", "highest"),
        layer.arena.backend.to_numpy(layer._bins)[:, :, 0, :],
        strict=True,
    ):
        source = graph.constant(kind, source, f"{name}.{key}", table)
    product = _grouped(graph, layer, source, f"{name}.W")
    product = graph.node("Add", [product, f"{name}.b"], f"{name}.offset")
    linear = graph.node("Mul", [number, f"{name}.v"], f"{name}.linear")
    total = graph.node("Add", [product, linear], f"{name}.sum")
    return _reshaped(graph, total, name, features * layer.units)


def periodic(graph: Graph, layer: PeriodicEmbedding, source: str) -> str:
    """Add e = [cos 2π c x, sin 2π c x], and e W + b."""
    name, features = layer.name, layer.inputs
    assert features is not None
    source = _reshaped(graph, source, f"{name}.numbers", features, 1)
    source = graph.node("Mul", [source, f"{name}.c"], f"{name}.turns")
    angle = graph.constant("Mul", source, f"{name}.circle", np.array([2.0 * np.pi], graph.dtype))
    waves = [graph.node(kind, [angle], f"{name}.{kind.lower()}") for kind in ("Cos", "Sin")]
    source = graph.node("Concat", waves, f"{name}.waves", axis=2)
    product = _grouped(graph, layer, source, f"{name}.W")
    product = graph.node("Add", [product, f"{name}.b"], f"{name}.offset")
    return _reshaped(graph, product, name, features * layer.units)


def _grouped(graph: Graph, layer: Layer, source: str, W: str) -> str:
    """Add y_j = x_j W_j for rows of shape (groups, inputs): a product for each group needs it on axis 0."""
    source = graph.node("Transpose", [source], f"{layer.name}.groups", perm=[1, 0, 2])
    product = graph.node("MatMul", [source, W], f"{layer.name}.matmul")
    return graph.node("Transpose", [product], f"{layer.name}.rows", perm=[1, 0, 2])


def _reshaped(graph: Graph, source: str, name: str, *shape: int | None) -> str:
    """Add Reshape of each row."""
    graph.values[f"{name}.shape"] = np.array([0, *shape])  # 0: as it was
    return graph.node("Reshape", [source, f"{name}.shape"], name)


TABLES: dict[type[Layer], Write] = {
    Columns: columns,
    FeatureScale: feature_scale,
    Members: members,
    MemberDense: member_dense,
    CategoryEmbedding: category_embedding,
    PiecewiseLinearEmbedding: piecewise_linear,
    PeriodicEmbedding: periodic,
}
