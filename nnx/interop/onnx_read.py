"""The layers of an ONNX model: its nodes followed from the input to the output, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError
from nnx.interop.onnx_nodes import READERS, Step
from nnx.interop.onnx_tensors import Constants
from nnx.interop.parts import Part
from nnx.layers import SiLU

OLDEST = 7  # the operator set in which Gemm, Add and the rest took the form they have
FLOATS = {"float32", "float64"}


def read(onnx: Any, model: Any, folder: Path) -> tuple[list[Part], int, str]:
    """The parts, the width of the input, and its float type.

    Raises
    ------
    FileFormatError
        If a node is none that nnx's layers can compute, or the nodes do not form a chain.
    """
    graph = model.graph
    constants = Constants(onnx, graph, folder)
    opset = _opset(model)
    value, dtype, shape = _input(onnx, graph, constants)
    if len(graph.output) != 1:
        names = ", ".join(output.name for output in graph.output)
        raise FileFormatError(f"it has {len(graph.output)} outputs ({names}): a network has one")
    nodes = [node for node in graph.node if not constants.holds(node)]
    takers: dict[str, list[Any]] = {}
    for node in nodes:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    parts: list[Part] = []
    followed = 0
    while value in takers:
        group = _group(value, takers)
        followed += len(group)
        if len(group) == 2:
            parts.append(Part(SiLU(), {}))
        else:
            inputs = [None if name == value else constants.array(name, group[0]) for name in group[0].input]
            parts = _append(parts, _step(onnx, group[0], inputs, len(shape), opset))
        value = group[-1].output[0]
    if value != graph.output[0].name or followed != len(nodes):
        raise FileFormatError(
            f"it is no chain: {followed} of {len(nodes)} nodes lie between input and output"
        )
    _check_size(parts, constants)
    return parts, _width(shape, parts), dtype


def named(node: Any) -> str:
    """A node as errors name it."""
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


def _opset(model: Any) -> int:
    sets = {entry.domain: entry.version for entry in model.opset_import}
    version: int = sets.get("", sets.get("ai.onnx", 0))
    if version < OLDEST:
        raise FileFormatError(f"its operator set is {version}: nnx reads those from {OLDEST} on")
    return version


def _input(onnx: Any, graph: Any, constants: Constants) -> tuple[str, str, list[int]]:
    """Name, float type and shape of the one input (0 for what is not stated)."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise FileFormatError(f"it has {len(inputs)} inputs ({names}): a network has one")
    tensor = inputs[0].type.tensor_type
    kinds = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64"}
    if tensor.elem_type not in kinds:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise FileFormatError(f"its input is of type {kind}: nnx computes in float32 and float64")
    shape = [int(dimension.dim_value) for dimension in tensor.shape.dim]
    if not shape:
        raise FileFormatError("its input has no axes: nnx takes rows")
    return inputs[0].name, kinds[tensor.elem_type], shape


def _group(value: str, takers: dict[str, list[Any]]) -> list[Any]:
    """The node that takes a value; of x · σ(x) both."""
    taking = takers[value]
    if len(taking) == 1:
        return taking
    gate, product = sorted(taking[:2], key=lambda node: node.op_type != "Sigmoid")
    gated = gate.op_type == "Sigmoid" and product.op_type == "Mul" and len(taking) == 2
    if (
        gated
        and sorted(product.input) == sorted([value, gate.output[0]])
        and len(takers[gate.output[0]]) == 1
    ):
        return [gate, product]
    raise FileFormatError(
        f"it is no chain: {value!r} goes to {' and '.join(named(node) for node in taking[:4])}"
    )


def _step(onnx: Any, node: Any, inputs: list[Any], rank: int, opset: int) -> Step:
    if node.domain not in ("", "ai.onnx") or node.op_type not in READERS:
        kind = f"{node.domain}.{node.op_type}".lstrip(".")
        raise FileFormatError(
            f"{named(node)}: nnx has no layer for {kind}; these are read: {', '.join(READERS)}"
        )
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    outputs = [name for name in node.output if name]
    return Step(node, inputs, attributes, len(outputs), rank, opset)


def _append(parts: list[Part], step: Step) -> list[Part]:
    try:
        return READERS[step.node.op_type](parts, step)
    except ConfigurationError as error:
        raise FileFormatError(f"{named(step.node)}: {error}") from error


def _width(shape: list[int], parts: list[Part]) -> int:
    """The input's width: stated, or that of the first arrays."""
    if shape[-1] > 0:
        return shape[-1]
    for part in parts:
        for value in part.values.values():
            return int(value.shape[0])
    raise FileFormatError("the width of its input is not stated")


def _check_size(parts: list[Part], constants: Constants) -> None:
    """Refuse a file that makes a large network out of few numbers by using them again and again."""
    claimed = sum(np.size(value) for part in parts for value in part.values.values())
    if claimed > 2 * constants.size + 2**16:
        raise FileFormatError(f"its layers take {claimed:,} numbers, but it holds {constants.size:,}")
