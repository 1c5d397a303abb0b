"""Read an ONNX model: its layers, the shape of its rows and its float type."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.errors import FileFormatError
from nnx.interop.onnx_fold import UNKNOWN
from nnx.interop.onnx_follow import Follower
from nnx.interop.onnx_graph import calls, input_of, needed, output_of, shapes_of
from nnx.interop.onnx_shapes import FLOATS
from nnx.interop.onnx_tensors import Constants
from nnx.interop.parts import Part, leaves

OLDEST = 7  # the operator set that gave Gemm, Add and others their present form


class Model(NamedTuple):
    """The content of a file: layers, the shape of a row, the float type, the largest size, and notes."""

    parts: list[Part]
    shape: tuple[int, ...]
    dtype: str
    most: int
    notes: list[str]


def read(onnx: Any, model: Any, folder: Path) -> Model:
    """Return the layers of a model.

    Raises
    ------
    FileFormatError
        If nnx's layers cannot compute a node, or the nodes do not form a chain with branches.
    """
    graph = model.graph
    constants = Constants(onnx, graph, folder)
    opset = _opset(model)
    source = input_of(graph, constants)
    notes: list[str] = []
    output = output_of(onnx, graph, notes)
    shapes = shapes_of(onnx, model)
    nodes = [node for node in needed(graph.node, output) if not constants.fold(node, shapes)]
    nodes = needed(nodes, output)
    dtype = _type(onnx, source, nodes)
    if not shapes.get(source.name):
        raise FileFormatError("its input is a single number: nnx takes rows")
    found = calls(nodes, source.name, output, constants)
    follower = Follower(onnx, constants, shapes, opset, notes)
    follower.follow(found, source.name, output)
    row = _row(shapes[source.name], follower.parts, notes)
    _check_values(follower.parts, constants)
    types = (follower.types | {dtype}) - {""}
    if len(types) > 1:
        notes.append("it computes in float32 and float64: the network computes everything in float64")
    return Model(follower.parts, row, max(types), 64 * (constants.size + 2**20), notes)


def _opset(model: Any) -> int:
    sets = {entry.domain: entry.version for entry in model.opset_import}
    version: int = sets.get("", sets.get("ai.onnx", 0))
    if version < OLDEST:
        raise FileFormatError(f"its operator set is {version}: nnx reads {OLDEST} and later")
    return version


def _type(onnx: Any, source: Any, nodes: list[Any]) -> str:
    """Return the float type of the input; empty if the input holds integers that are cast at once."""
    types = onnx.TensorProto
    kind = types.DataType.Name(source.type.tensor_type.elem_type).lower()
    if kind in FLOATS:
        return FLOATS[kind]
    whole = ("uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64")
    if kind in whole and nodes and nodes[0].op_type == "Cast":
        return ""
    raise FileFormatError(f"its input has the type {kind}: nnx computes in float32 and float64")


def _row(shape: list[int], parts: list[Part], notes: list[str]) -> tuple[int, ...]:
    """Return the shape of a row; only its last length if others are unknown."""
    row = shape[1:] or shape
    if UNKNOWN not in row[:-1]:
        return (*row[:-1], _width(row, parts))
    width = _width(row, parts)
    notes.append(f"its input has axes of unknown length: the network takes vectors, x.reshape(-1, {width})")
    return (width,)


def _width(shape: list[int], parts: list[Part]) -> int:
    """Return the last length of a row: the stated one, or the one that the first arrays need."""
    if shape[-1] > 0:
        return shape[-1]
    for part in leaves(parts):
        for value in part.values.values():
            if np.ndim(value) == 2 or np.size(value) > 1:
                return int(value.shape[0])
    raise FileFormatError("it does not state the width of its input")


def _check_values(parts: list[Part], constants: Constants) -> None:
    """Refuse a file that makes many large layers from few numbers by using them many times."""
    claimed = sum(np.size(value) for part in leaves(parts) for value in part.values.values())
    if claimed > 2 * constants.size + 2**16:
        raise FileFormatError(f"its layers need {claimed:,} numbers, but it holds {constants.size:,}")
