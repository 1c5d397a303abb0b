"""Read an ONNX model: its layers, the shape of its rows and its float type."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.errors import FileFormatError
from nnx.interop.branches import Call
from nnx.interop.onnx_follow import FLOATS, Follower
from nnx.interop.onnx_layouts import Layout, Layouts
from nnx.interop.onnx_tensors import ROWS, UNKNOWN, Constants, attributes_of, named
from nnx.interop.parts import Part, leaves

SOME = 7919  # a number of rows in place of an unknown one
OLDEST = 7  # the operator set that gave Gemm, Add and others their present form


class Model(NamedTuple):
    """The content of a file: layers, the shape of a row, the float type, the largest size, and notes."""

    parts: list[Part]
    shape: tuple[int, ...]
    dtype: str
    most: int
    notes: list[str]


def read(onnx: Any, model: Any, folder: Path) -> Model:
    """Return the layers of a model."""
    graph = model.graph
    constants = Constants(onnx, graph, folder)
    opset = _opset(model)
    source = _input(graph, constants)
    notes: list[str] = []
    output = _output(onnx, graph, notes)
    shapes = _shapes(onnx, model)
    nodes = [node for node in _needed(graph.node, output) if not constants.fold(node, shapes)]
    nodes = _needed(nodes, output)
    if any(UNKNOWN in shapes.get(node.output[0], [UNKNOWN]) for node in nodes):
        better = _shapes_with(onnx, model, nodes, constants)
        shapes |= {
            name: shape for name, shape in better.items() if UNKNOWN not in shape or name not in shapes
        }
    dtype = _type(onnx, source, nodes)
    if not shapes.get(source.name):
        raise FileFormatError("its input is a single number: nnx takes rows")
    found = _calls(nodes, source.name, output, constants)
    layouts = Layouts(found, partial(attributes_of, onnx), constants, shapes)
    layouts.start(source.name, len(shapes[source.name]))
    found = layouts.without_transposes(_without_casts(found, source.name, layouts, notes))
    follower = Follower(onnx, constants, shapes, layouts, opset, notes)
    follower.follow(found, source.name, layouts.source(output))
    row = _row(shapes[source.name], layouts.of(source.name), follower.parts, notes)
    layouts.check_output(output, notes)
    _check_values(follower.parts, constants)
    types = (follower.types | {dtype}) - {""} or _types(follower.parts)
    if len(types) > 1:
        notes.append("it computes in float32 and float64: the network computes everything in float64")
    return Model(follower.parts, row, max(types), 64 * (constants.size + 2**20), notes)


def _shapes(onnx: Any, model: Any) -> dict[str, list[int]]:
    """Return the known shape of each value, with `ROWS` for an unknown first length, `UNKNOWN` for others."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            dimensions = [int(d.dim_value) or UNKNOWN for d in value.type.tensor_type.shape.dim]
            if dimensions and dimensions[0] == UNKNOWN:
                dimensions[0] = ROWS
            shapes[value.name] = dimensions
    return shapes


def _shapes_with(onnx: Any, model: Any, nodes: list[Any], constants: Constants) -> dict[str, list[int]]:
    """Return the shapes of values, some of which depend on constants that were computed here."""
    known = onnx.ModelProto()
    known.CopyFrom(model)
    graph = known.graph
    taken = {name for node in nodes for name in node.input if name in constants}
    for name in taken - {value.name for value in (*graph.initializer, *graph.input)}:
        value = constants.array(name)
        if value is not None:
            some = np.where(value == ROWS, SOME, value).astype(value.dtype)
            graph.initializer.append(onnx.numpy_helper.from_array(some, name))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for value in graph.input:
        dimensions = value.type.tensor_type.shape.dim
        if value.name not in constants and dimensions and not dimensions[0].dim_value:
            dimensions[0].dim_value = SOME
    found = _shapes(onnx, known)
    return {name: [ROWS, *shape[1:]] if shape[:1] == [SOME] else shape for name, shape in found.items()}


def _input(graph: Any, constants: Constants) -> Any:
    """Return the only input that is not a constant."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise FileFormatError(f"it has {len(inputs)} inputs ({names}): a network has one")
    return inputs[0]


def _output(onnx: Any, graph: Any, notes: list[str]) -> str:
    """Return the output to read: the only one, or the only one of floats (a classifier's probabilities)."""
    outputs = list(graph.output)
    if len(outputs) == 1:
        return str(outputs[0].name)
    zipped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "ZipMap"}
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    found = [o for o in outputs if o.name in zipped or o.type.tensor_type.elem_type in floats]
    if len(found) != 1:
        names = ", ".join(output.name for output in outputs)
        raise FileFormatError(f"it has {len(outputs)} outputs ({names}): a network has one")
    others = ", ".join(repr(output.name) for output in outputs if output is not found[0])
    notes.append(f"only its output {found[0].name!r} is read; left out: {others}")
    return str(zipped.get(found[0].name, found[0].name))


def _needed(nodes: list[Any], output: str) -> list[Any]:
    """Return the nodes that an output depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def _calls(nodes: list[Any], source: str, output: str, constants: Constants) -> list[Call]:
    """Return the nodes as calls from a value to an output; refuse other inputs and several outputs."""
    found: list[Call] = []
    given = {source}
    used = {name for node in nodes for name in node.input} | {output}
    for node in nodes:
        takes = tuple(name for name in node.input if name and name not in constants)
        for name in takes:
            if name not in given:
                raise FileFormatError(f"{named(node)} takes {name!r}, which is not a constant")
        if not takes:
            raise FileFormatError(f"{named(node)}: nnx cannot compute this operator from constants")
        if used.intersection(node.output[1:]):
            raise FileFormatError(f"{named(node)}: nnx has no layer that computes more than its first output")
        given.add(node.output[0])
        found.append(Call(node, takes, node.output[0]))
    if output not in given or (output == source and found):
        raise FileFormatError(f"its output {output!r} does not come from its input alone")
    return found


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
    users = {node.op_type for node in nodes if source.name in node.input}
    if kind in whole and users and users <= {"Cast", "Gather"}:
        return ""
    raise FileFormatError(f"its input has the type {kind}: nnx computes in float32 and float64")


def _without_casts(calls: list[Call], source: str, layouts: Layouts, notes: list[str]) -> list[Call]:
    """Return the calls without those that make whole numbers of the input for a Gather."""
    cast = {c.gives for c in calls if c.node.op_type == "Cast" and c.takes == (source,)}
    used = [call for call in calls if cast.intersection(call.takes)]
    if not (cast and used and all(call.node.op_type == "Gather" for call in used)):
        return calls
    for name in cast:
        layouts.rename(name, source)
    return [call for call in calls if call.gives not in cast]


def _types(parts: list[Part]) -> set[str]:
    """Return the float type of the tables that a network of whole numbers begins with."""
    tables = [part.values["W"] for part in leaves(parts) if part.layer.input_dtype != "float"]
    return {table.dtype.name for table in tables} or {"float32"}


def _row(shape: list[int], layout: Layout, parts: list[Part], notes: list[str]) -> tuple[int, ...]:
    """Return the shape of a row; only its last length if others are unknown."""
    if layout.images:
        row = layout.shape(shape)[1:]
        if UNKNOWN in row:
            raise FileFormatError(
                f"its input has the shape (rows, {', '.join(str(n or '?') for n in shape[1:])}): nnx needs "
                "the size of images, so export the model with fixed sizes"
            )
        notes.append(f"its input has channels on axis 1: the network takes them last, x{layout.to_nnx}")
        return tuple(row)
    row = shape[1:] or shape
    if any(part.layer.input_dtype != "float" for part in leaves(parts)):
        return _row_of_numbers(shape[1:])
    if UNKNOWN not in row[:-1]:
        return (*row[:-1], _width(row, parts))
    width = _width(row, parts)
    notes.append(f"its input has axes of unknown length: the network takes vectors, x.reshape(-1, {width})")
    return (width,)


def _row_of_numbers(row: list[int]) -> tuple[int, ...]:
    """Return the shape of a row of whole numbers, for an embedding."""
    if UNKNOWN in row:
        raise FileFormatError(
            "it does not state how many whole numbers a row has: export the model with a fixed length"
        )
    return tuple(row) or (1,)


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
