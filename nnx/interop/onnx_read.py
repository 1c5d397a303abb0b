"""Read the layers of an ONNX model: follow its nodes from the input to the output, link by link."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError
from nnx.interop.algebra import Algebra, UnknownFormulaError
from nnx.interop.onnx_fold import UNKNOWN
from nnx.interop.onnx_forms import formula, recognized
from nnx.interop.onnx_graph import Link, input_of, links, needed, output_of, shapes_of
from nnx.interop.onnx_nodes import EVERYWHERE, READERS, NotAChainError, Step, two_classes
from nnx.interop.onnx_shapes import FLOATS, RESHAPES, Reshaped, cast_to, reshaped
from nnx.interop.onnx_tensors import STANDARD, Constants, named
from nnx.interop.parts import Part
from nnx.layers import Rescale

OLDEST = 7  # the operator set that gave Gemm, Add and others their present form
LONGEST = 30  # most nodes that one layer is written in


class Model(NamedTuple):
    """The content of a file: layers, the width of the input, the float type, and notes for the user."""

    parts: list[Part]
    width: int
    dtype: str
    notes: list[str]


def read(onnx: Any, model: Any, folder: Path) -> Model:
    """Return the layers of a model.

    Raises
    ------
    FileFormatError
        If nnx's layers cannot compute a node, or the nodes do not form a chain.
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
    follower = Follower(onnx, constants, shapes, opset, notes)
    follower.follow(list(links(nodes, source.name, output, constants)), source.name)
    width = follower.width or _width(shapes[source.name], follower.parts)
    _check_size(follower.parts, width, constants)
    types = (follower.types | {dtype}) - {""}
    if len(types) > 1:
        notes.append("it computes in float32 and float64: the network computes everything in float64")
    return Model(follower.parts, width, max(types), notes)


class Follower:
    """Turn links into layers, one after the other."""

    def __init__(
        self, onnx: Any, constants: Constants, shapes: dict[str, list[int]], opset: int, notes: list[str]
    ) -> None:
        self.onnx, self.constants, self.shapes, self.opset = onnx, constants, shapes, opset
        self.notes = notes
        self.parts: list[Part] = []
        self.width = 0  # width of the input, if its rows have several axes and are flattened
        self.squeezed = False  # whether (rows, 1) became (rows,)
        self.types: set[str] = set()  # the float types it casts to
        self.widened: int | None = None  # how many parts there were at a cast to float64

    def follow(self, chain: list[Link], value: str) -> None:
        """Read all links, starting from a value."""
        at = 0
        while at < len(chain):
            taken = self._form(chain[at:], value)
            if taken == 0:
                self._link(chain[at], value)
                taken = 1
            at += taken
            shape, value = self.shapes[value], chain[at - 1].output
            if not self.shapes.get(value):  # the library does not infer the shapes of some operators
                last = self.parts[-1].values.get("W") if self.parts else None
                self.shapes[value] = shape if last is None else [*shape[:-1], last.shape[1]]

    def _form(self, chain: list[Link], value: str) -> int:
        """Read the layer that the first links form together; return how many links, 0 if there is none."""
        algebra = Algebra()
        known: dict[str, Any] = {value: algebra.x}
        shape = self._shape(value, chain[0].nodes[0])
        count = 0
        for taken, link in enumerate(chain, 1):
            count += len(link.nodes)
            if count > LONGEST or self.squeezed:
                return 0
            try:
                for node in link.nodes:
                    known[node.output[0]] = self._formula(algebra, node, known, len(shape))
                found = None if count == 1 else recognized(algebra, known[link.output])
            except UnknownFormulaError:
                return 0
            except ConfigurationError as error:
                raise FileFormatError(f"{named(link.nodes[-1])}: {error}") from error
            if found is not None and _fits(found, shape[-1]):
                self.parts += found
                return taken
        return 0

    def _formula(self, algebra: Algebra, node: Any, known: dict[str, Any], rank: int) -> Any:
        operands: list[Any] = [
            known[name] if name in known else self.constants.array(name) for name in node.input
        ]
        if node.domain not in STANDARD or len(node.output) != 1 or any(one is None for one in operands):
            raise UnknownFormulaError(node.op_type)
        return formula(algebra, node, operands, self._attributes(node), rank)

    def _link(self, link: Link, value: str) -> None:
        """Read a layer that is one node, or the two nodes of a classifier."""
        node = link.nodes[-1]
        try:
            if len(link.nodes) == 1:
                self._node(node, self._step(node, value))
            else:
                steps = [self._step(one, value) for one in link.nodes]
                self.parts = two_classes(self.parts, steps)
        except ConfigurationError as error:
            raise FileFormatError(f"{named(node)}: {error}") from error
        except NotAChainError as error:
            takers = " and ".join(named(one) for one in link.nodes if value in one.input)
            raise FileFormatError(f"it is not a chain of layers: {value!r} goes to {takers}") from error

    def _node(self, node: Any, step: Step) -> None:
        kind = node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"
        if kind in RESHAPES:
            self._reshape(step, reshaped(kind, step, self.parts))
        elif kind == "Cast":
            self._cast(cast_to(self.onnx, step))
        elif kind not in READERS:
            known = ", ".join((*READERS, *RESHAPES, "Cast"))
            raise ConfigurationError(f"nnx has no layer for {kind}; it can read {known}")
        elif self.squeezed and kind not in EVERYWHERE:
            raise ConfigurationError("its data have the shape (rows,): nnx's layers take (rows, 1)")
        else:
            self.parts = READERS[kind](self.parts, step)

    def _cast(self, to: str) -> None:
        """Note a change of the float type; one to float64 and back around a `Rescale` changes nothing."""
        if to == "float64" and to not in self.types:
            self.widened = len(self.parts)
        elif self.widened is not None and to == "float32":
            new = [*self.parts[-1:], *self.parts[self.widened :]]
            if new and all(isinstance(part.layer, Rescale) for part in new):
                self.types.discard("float64")
            self.widened = None
        self.types.add(to)

    def _reshape(self, step: Step, to: Reshaped) -> None:
        if to is Reshaped.ROWS:
            self.width = math.prod(step.shape[1:])
            self.notes.append(
                f"each row of its input, of shape {step.shape[1:]}, is flattened: pass x.reshape(len(x), -1)"
            )
        elif to is Reshaped.COLUMN:
            self.squeezed = True
            self.notes.append("its output has the shape (rows,), the network's output (rows, 1)")

    def _step(self, node: Any, value: str) -> Step:
        inputs = [self.constants.array(name) if name in self.constants else None for name in node.input]
        outputs = [name for name in node.output if name]
        return Step(node, inputs, self._attributes(node), len(outputs), self._shape(value, node), self.opset)

    def _shape(self, value: str, node: Any) -> list[int]:
        shape = self.shapes.get(value, [])
        if not shape:
            raise FileFormatError(f"{named(node)}: the shape of its data is unknown")
        return shape

    def _attributes(self, node: Any) -> dict[str, Any]:
        return {entry.name: self.onnx.helper.get_attribute_value(entry) for entry in node.attribute}


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


def _fits(parts: list[Part], width: int) -> bool:
    """Return whether the parts' values fit rows of this width, if it is known."""
    return all(np.size(v) in (1, width) or width == UNKNOWN for part in parts for v in part.values.values())


def _width(shape: list[int], parts: list[Part]) -> int:
    """Return the width of the input: the stated one, or the one that the first arrays need."""
    if shape[-1] > 0:
        return shape[-1]
    for part in parts:
        for value in part.values.values():
            if np.ndim(value) == 2 or np.size(value) > 1:
                return int(value.shape[0])
    raise FileFormatError("it does not state the width of its input")


def _check_size(parts: list[Part], width: int, constants: Constants) -> None:
    """Refuse a file that makes a large network from few numbers by using them many times."""
    claimed = sum(np.size(value) for part in parts for value in part.values.values())
    repeated = 0
    for part in parts:
        width = part.values["W"].shape[1] if "W" in part.values else width
        repeated += width * len(part.values)
    if claimed > 2 * constants.size + 2**16 or repeated > 64 * (constants.size + 2**20):
        raise FileFormatError(f"its layers need {claimed:,} numbers, but it holds {constants.size:,}")
