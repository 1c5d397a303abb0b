"""Follow the nodes of an ONNX graph from one value to another, link by link, and read their layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError, FileFormatError
from nnx.interop.algebra import Algebra, UnknownFormulaError
from nnx.interop.branches import Call, SharedCallError, branches, check_depth, links
from nnx.interop.onnx_forms import REDUCTIONS, formula, recognized
from nnx.interop.onnx_layouts import Layout, Layouts, plain, view
from nnx.interop.onnx_nodes import EVERYWHERE, READERS, NotAChainError, two_classes
from nnx.interop.onnx_shapes import reshaped
from nnx.interop.onnx_step import Step
from nnx.interop.onnx_tensors import STANDARD, UNKNOWN, Constants, attributes_of, named
from nnx.interop.parts import Part, concatenated, summed
from nnx.layers import Rescale

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
        layouts: Layouts,
        opset: int,
        notes: list[str],
        depth: int = 0,
    ) -> None:
        self.onnx, self.constants, self.shapes, self.opset = onnx, constants, shapes, opset
        self.layouts = layouts
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
            taken = self._form(chain[at:], value)
            if taken == 0:
                self._link(chain[at], value)
                taken = 1
            at += taken
            shape, value = self.shapes[value], chain[at - 1][-1].gives
            if (
                not self.shapes.get(value) and not self.layouts.of(value).images
            ):  # the library does not infer the shapes of some operators
                last = self.parts[-1] if self.parts else None
                width = last.values["W"].shape[1] if last and "W" in last.values else shape[-1]
                self.shapes[value] = [*shape[:-1], UNKNOWN if last and last.inner else width]

    def _form(self, chain: list[list[Call]], value: str) -> int:
        """Read the layer that the first links form together; return how many links, 0 if there is none."""
        algebra = Algebra()
        known: dict[str, Any] = {value: algebra.x}
        first = chain[0][0].node
        shape = self._nnx_shape(value, first)
        layout = next(self.layouts.of(name) for name in first.input if self._data(name) == value)
        count = 0
        if not layout.usable:
            return 0
        for taken, link in enumerate(chain, 1):
            count += len(link)
            if count > LONGEST or self.squeezed:
                return 0
            try:
                for node, _, _ in link:
                    if any(
                        self.layouts.of(name) != layout for name in node.input if self._data(name) in known
                    ):
                        return 0  # a Transpose between them
                    known[node.output[0]] = self._formula(algebra, node, known, layout)
                    self.layouts.set(node.output[0], layout)
                found = None if count == 1 else recognized(algebra, known[link[-1].gives])
            except UnknownFormulaError:
                return 0
            except ConfigurationError as error:
                raise FileFormatError(f"{named(link[-1].node)}: {error}") from error
            if found is not None and _fits(found, shape[-1]):
                self.parts += found
                return taken
        return 0

    def _data(self, name: str) -> str:
        """Return the name under which a value was computed."""
        return self.layouts.source(name)

    def _formula(self, algebra: Algebra, node: Any, known: dict[str, Any], layout: Layout) -> Any:
        operands: list[Any] = [known.get(self._data(name), self._constant(name)) for name in node.input]
        if node.domain not in STANDARD or len(node.output) != 1 or any(one is None for one in operands):
            raise UnknownFormulaError(node.op_type)
        if layout.images and node.op_type in (*REDUCTIONS, "Softmax", "LogSoftmax"):
            raise UnknownFormulaError(f"{node.op_type} over an axis that nnx has elsewhere")
        if not layout.plain and node.op_type not in REDUCTIONS:
            operands = [layout.array(one) if isinstance(one, np.ndarray) else one for one in operands]
        return formula(algebra, node, operands, self._attributes(node), len(layout.order))

    def _constant(self, name: str) -> Any:
        return self.constants.array(name) if name in self.constants else None

    def _link(self, link: list[Call], value: str) -> None:
        """Read a layer that is one node, or nodes that fork and meet: a container, or a classifier's end."""
        node, takes, _ = link[-1]
        if len(takes) == 1 and len(link) == 1 and node.op_type != "Concat":
            self._guarded(node, lambda: self._node(node, self._step(node, value)))
            return
        try:
            layout = self.layouts.of(value)
            steps = [self._step(call.node, value, layout) for call in link]
            self.parts = two_classes(self.parts, steps)
            self._set(link[-1].gives, layout)
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
        layout = self.layouts.common(node.input)
        if node.op_type == "Concat":
            self._step(node, takes[0]).last_axis("axis", -1)
        if layout.folded and node.op_type == "Concat":
            raise ConfigurationError("it joins flattened images: nnx has their numbers in another order")
        self._set(node.output[0], layout)
        self.parts.append(concatenated(parts) if node.op_type == "Concat" else summed(parts))

    def _branch(self, calls: list[Call], value: str, end: str) -> list[Part]:
        inner = Follower(
            self.onnx, self.constants, self.shapes, self.layouts, self.opset, self.notes, self.depth + 1
        )
        inner.types = self.types
        inner.follow(calls, value, end)
        if inner.squeezed:
            raise ConfigurationError("a branch gives data of shape (rows,): nnx's layers give (rows, 1)")
        return inner.parts

    def _node(self, node: Any, step: Step) -> None:
        kind = node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"
        if kind in RESHAPES and not self.squeezed:
            self._reshape(kind, step)
            return
        if kind == "Cast":
            self._cast(_cast_to(self.onnx, step))
        elif kind not in READERS:
            known = ", ".join((*READERS, *RESHAPES, "Cast"))
            raise ConfigurationError(f"nnx has no layer for {kind}; it can read {known}")
        elif self.squeezed and kind not in EVERYWHERE:
            raise ConfigurationError("its data have the shape (rows,): nnx's layers take (rows, 1)")
        else:
            self.parts = READERS[kind](self.parts, step)
        self._set(node.output[0], _layout_after(kind, step))

    def _set(self, name: str, layout: Layout) -> None:
        self.layouts.set(name, layout)

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

    def _reshape(self, kind: str, step: Step) -> None:
        before = [step.shape[axis] for axis in step.layout.order]
        gives, row = step.node.output[0], reshaped(kind, step._replace(shape=before))
        if row is None:
            self.squeezed = True
            self.notes.append("its output has the shape (rows,), the network's output (rows, 1)")
            self._set(gives, plain(1))
        elif row == before[1:]:
            self._set(gives, step.layout)
        else:
            self.parts, layout = view(self.parts, step.layout, before[1:], row, self.layouts.is_image(gives))
            self._set(gives, layout)

    def _step(self, node: Any, value: str, layout: Layout | None = None) -> Step:
        inputs = [self.constants.array(name) if name in self.constants else None for name in node.input]
        outputs = [name for name in node.output if name]
        if layout is None:
            layout = self.layouts.common([name for name in node.input if name and name not in self.constants])
        shape = self._nnx_shape(value, node)
        after = self.shapes.get(node.output[0], [])
        return Step(
            node, inputs, self._attributes(node), len(outputs), shape, layout, after, self.opset, self.notes
        )

    def _nnx_shape(self, value: str, node: Any) -> list[int]:
        return self.layouts.of(value).shape(self._shape(value, node))

    def _shape(self, value: str, node: Any) -> list[int]:
        shape = self.shapes.get(value, [])
        if not shape:
            raise FileFormatError(f"{named(node)}: the shape of its data is unknown")
        return shape

    def _attributes(self, node: Any) -> dict[str, Any]:
        return attributes_of(self.onnx, node)


def _fits(parts: list[Part], width: int) -> bool:
    """Return whether the parts' values fit rows of this width, if it is known."""
    return all(np.size(v) in (1, width) or width == UNKNOWN for part in parts for v in part.values.values())


def _layout_after(kind: str, step: Step) -> Layout:
    """Return the layout of an operator's result."""
    if kind in ("Gemm", "MatMul"):
        return plain(step.rank)
    changed = len(step.after) not in (0, step.rank)  # Gather, or a mean that drops axes
    return plain(len(step.after)) if changed else step.layout


# ------------------------------------------------------- operators that only change the shape or type


def _cast_to(onnx: Any, step: Step) -> str:
    """Return the float type that the data are cast to."""
    kind = onnx.TensorProto.DataType.Name(step.attributes["to"]).lower()
    if kind not in FLOATS:
        raise ConfigurationError(f"it casts to {kind}: nnx computes in float32 and float64")
    return FLOATS[kind]
