"""Follow the nodes of an ONNX graph from one value to another, link by link, and read their layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError
from nnx.interop.algebra import Algebra, UnknownFormulaError
from nnx.interop.branches import Call, SharedCallError, branches, check_depth, links
from nnx.interop.onnx_forms import formula, recognized
from nnx.interop.onnx_nodes import EVERYWHERE, READERS, NotAChainError, Step, two_classes
from nnx.interop.onnx_tensors import ROWS, STANDARD, UNKNOWN, Constants, named
from nnx.interop.parts import Part, concatenated, summed
from nnx.layers import Flatten, Rescale, Reshape

FLOATS = {"float": "float32", "double": "float64"}
RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
LONGEST = 30  # most nodes that one layer is written in


class Follower:
    """Turn calls into layers, one link after the other; another one follows each branch."""

    def __init__(
        self,
        onnx: Any,
        constants: Constants,
        shapes: dict[str, list[int]],
        opset: int,
        notes: list[str],
        depth: int = 0,
    ) -> None:
        self.onnx, self.constants, self.shapes, self.opset = onnx, constants, shapes, opset
        self.notes, self.depth = notes, depth
        self.parts: list[Part] = []
        self.squeezed = False  # whether (rows, 1) became (rows,)
        self.types: set[str] = set()  # the float types it casts to
        self.widened: int | None = None  # how many parts there were at a cast to float64

    def follow(self, calls: list[Call], value: str, output: str) -> None:
        """Read all calls between two values."""
        chain = list(links(calls, value, output))
        at = 0
        while at < len(chain):
            taken = self._form(chain[at:], value) or self._transposed(chain[at : at + 3], value)
            if taken == 0:
                self._link(chain[at], value)
                taken = 1
            at += taken
            shape, value = self.shapes[value], chain[at - 1][-1].gives
            if not self.shapes.get(value):  # the library does not infer the shapes of some operators
                last = self.parts[-1] if self.parts else None
                width = last.values["W"].shape[1] if last and "W" in last.values else shape[-1]
                self.shapes[value] = [*shape[:-1], UNKNOWN if last and last.inner else width]

    def _form(self, chain: list[list[Call]], value: str) -> int:
        """Read the layer that the first links form together; return how many links, 0 if there is none."""
        algebra = Algebra()
        known: dict[str, Any] = {value: algebra.x}
        shape = self._shape(value, chain[0][0].node)
        count = 0
        for taken, link in enumerate(chain, 1):
            count += len(link)
            if count > LONGEST or self.squeezed:
                return 0
            try:
                for node, _, _ in link:
                    known[node.output[0]] = self._formula(algebra, node, known, len(shape))
                found = None if count == 1 else recognized(algebra, known[link[-1].gives])
            except UnknownFormulaError:
                return 0
            except ConfigurationError as error:
                raise FileFormatError(f"{named(link[-1].node)}: {error}") from error
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

    def _transposed(self, chain: list[list[Call]], value: str) -> int:
        """Read BatchNormalization over the last axis, which is the second between two Transposes."""
        if len(chain) < 3 or any(len(link) > 1 for link in chain) or self.squeezed:
            return 0
        first, node, last = (link[0].node for link in chain)
        if [one.op_type for one in (first, node, last)] != ["Transpose", "BatchNormalization", "Transpose"]:
            return 0
        shape = self._shape(value, first)
        axes = list(range(len(shape)))
        there, back = [0, axes[-1], *axes[1:-1]], [0, *axes[2:], 1]
        if [list(self._attributes(one).get("perm", [])) for one in (first, last)] != [there, back]:
            return 0
        step = self._step(node, value)._replace(shape=[shape[0], shape[-1]])
        self._guarded(node, lambda: self._node(node, step))
        return 3

    def _link(self, link: list[Call], value: str) -> None:
        """Read a layer that is one node, or nodes that fork and meet: a container, or a classifier's end."""
        node, takes, _ = link[-1]
        if len(takes) == 1 and len(link) == 1 and node.op_type != "Concat":
            self._guarded(node, lambda: self._node(node, self._step(node, value)))
            return
        try:
            steps = [self._step(call.node, value) for call in link]
            self.parts = two_classes(self.parts, steps)
        except NotAChainError:
            self._guarded(node, lambda: self._join(link, value))

    def _guarded(self, node: Any, act: Callable[[], None]) -> None:
        try:
            act()
        except ConfigurationError as error:
            raise FileFormatError(f"{named(node)}: {error}") from error

    def _join(self, link: list[Call], value: str) -> None:
        """Read branches that start at one value and meet in a sum or a Concat."""
        node, takes, _ = link[-1]
        if node.op_type not in ("Add", "Sum", "Concat") or node.domain not in STANDARD:
            takers = " and ".join(named(call.node) for call in link if value in call.takes)
            met = "" if link[0].node is node else f", which meet at {named(node)}"
            raise FileFormatError(
                f"it is not a chain of layers: {value!r} goes to {takers}{met}; nnx can read branches that "
                "meet in Add or Concat"
            )
        if len(takes) < len(node.input):
            raise ConfigurationError("it joins data and constants")
        if self.squeezed:
            raise ConfigurationError("its data have the shape (rows,): nnx's layers take (rows, 1)")
        try:
            ways = zip(branches(link, value), takes, strict=True)
        except SharedCallError as error:
            raise ConfigurationError(
                f"its branches share {named(error.args[0])}: nnx's containers need branches that start at "
                "one value"
            ) from error
        check_depth(self.depth + 1)
        parts = [self._branch(calls, value, end) for calls, end in ways]
        if node.op_type == "Concat":
            self._step(node, takes[0]).last_axis("axis", -1)
        self.parts.append(concatenated(parts) if node.op_type == "Concat" else summed(parts))

    def _branch(self, calls: list[Call], value: str, end: str) -> list[Part]:
        inner = Follower(self.onnx, self.constants, self.shapes, self.opset, self.notes, self.depth + 1)
        inner.types = self.types
        inner.follow(calls, value, end)
        if inner.squeezed:
            raise ConfigurationError("a branch gives data of shape (rows,): nnx's layers give (rows, 1)")
        return inner.parts

    def _node(self, node: Any, step: Step) -> None:
        kind = node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"
        if kind in RESHAPES and not self.squeezed:
            self._reshape(_reshaped(kind, step))
        elif kind == "Cast":
            self._cast(_cast_to(self.onnx, step))
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

    def _reshape(self, parts: list[Part] | None) -> None:
        if parts is None:
            self.squeezed = True
            self.notes.append("its output has the shape (rows,), the network's output (rows, 1)")
        else:
            self.parts += parts

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


def _fits(parts: list[Part], width: int) -> bool:
    """Return whether the parts' values fit rows of this width, if it is known."""
    return all(np.size(v) in (1, width) or width == UNKNOWN for part in parts for v in part.values.values())


# ------------------------------------------------------- operators that only change the shape or type


def _cast_to(onnx: Any, step: Step) -> str:
    """Return the float type that the data are cast to."""
    kind = onnx.TensorProto.DataType.Name(step.attributes["to"]).lower()
    if kind not in FLOATS:
        raise ConfigurationError(f"it casts to {kind}: nnx computes in float32 and float64")
    return FLOATS[kind]


def _reshaped(kind: str, step: Step) -> list[Part] | None:
    """Return the layer that reshapes rows, none if nothing changes, None if (rows, 1) becomes (rows,)."""
    shape, to = step.shape, _target(kind, step)
    width = UNKNOWN if UNKNOWN in shape[1:] else math.prod(shape[1:])
    same_rows = to[:1] in ([shape[0]], [ROWS]) or (to[:1] == [-1] and -1 not in to[1:])
    if same_rows and to[1:] == shape[1:] and width != UNKNOWN:
        return []
    if same_rows and len(to) == 2 and len(shape) == 2 and to[1] == -1:
        return []
    if width == 1 and len(shape) == 2 and to in ([-1], [ROWS], [shape[0]]):
        return None
    known = math.prod(length for length in to[1:] if length != -1)
    fits = known == width or (to[1:].count(-1) == 1 and known > 0 and width % known == 0)
    if not (same_rows and len(to) > 1 and width != UNKNOWN and fits and min(to[1:]) >= -1):
        raise ConfigurationError(
            f"it reshapes data from {_shown(shape)} to {_shown(to)}: nnx's layers keep rows apart"
        )
    row = [width // known if length == -1 else length for length in to[1:]]
    if row == shape[1:]:
        return []
    return [Part(Flatten() if len(row) == 1 else Reshape(row), {})]


def _target(kind: str, step: Step) -> list[int]:
    """Return the shape after the operator; a length may be `ROWS`, `UNKNOWN` or -1."""
    shape, rank = step.shape, len(step.shape)
    if kind == "Flatten":
        axis = int(step.attributes.get("axis", 1)) % (rank + 1)
        if axis != 1:
            raise ConfigurationError(f"it flattens from axis {axis} on: nnx can only flatten from axis 1 on")
        return [shape[0], math.prod(shape[1:]) if UNKNOWN not in shape[1:] else -1]
    given = step.constant(1)
    if kind == "Squeeze":
        axes = step.attributes.get("axes") if given is None else given.tolist()
        axes = [axis % rank for axis in np.atleast_1d([] if axes is None else axes).tolist()]
        if not axes or any(shape[axis] != 1 for axis in axes):
            raise ConfigurationError("it removes axes that are not known to have length 1")
        return [length for axis, length in enumerate(shape) if axis not in axes]
    if kind == "Unsqueeze":
        axes = step.attributes.get("axes") if given is None else given.tolist()
        axes = np.atleast_1d([] if axes is None else axes).tolist()
        places = {axis % (rank + len(axes)) for axis in axes}
        lengths = iter(shape)
        return [1 if axis in places else next(lengths) for axis in range(rank + len(places))]
    if given is None:
        raise ConfigurationError("its new shape depends on the data")
    to = [int(length) for length in given.reshape(-1)]
    if step.attributes.get("allowzero") and 0 in to:
        raise ConfigurationError("it makes an axis of length 0")
    return [shape[i] if length == 0 and i < rank else length for i, length in enumerate(to)]


def _shown(shape: list[int]) -> str:
    return (
        "(" + ", ".join("rows" if n == ROWS else "?" if n in (UNKNOWN, -1) else str(n) for n in shape) + ")"
    )
