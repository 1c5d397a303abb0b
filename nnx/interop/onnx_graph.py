"""Prepare an ONNX graph for reading: its input, the output to read, and the nodes between them."""

from __future__ import annotations

from typing import Any

from nnx.errors import FileFormatError
from nnx.interop.branches import Call
from nnx.interop.onnx_fold import ROWS, UNKNOWN
from nnx.interop.onnx_tensors import Constants, named


def shapes_of(onnx: Any, model: Any) -> dict[str, list[int]]:
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


def input_of(graph: Any, constants: Constants) -> Any:
    """Return the only input that is not a constant."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise FileFormatError(f"it has {len(inputs)} inputs ({names}): a network has one")
    return inputs[0]


def output_of(onnx: Any, graph: Any, notes: list[str]) -> str:
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


def needed(nodes: list[Any], output: str) -> list[Any]:
    """Return the nodes that an output depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def calls(nodes: list[Any], source: str, output: str, constants: Constants) -> list[Call]:
    """Return the nodes as calls from a value to an output.

    Raises
    ------
    FileFormatError
        If a node takes a value that is neither constant nor comes from the source, or gives several values.
    """
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
