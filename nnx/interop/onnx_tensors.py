"""Read the constants of an ONNX graph: arrays in the file or in others, and values computed from them.

Exporters write operators whose inputs are all constants after a stored array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import FileFormatError

HostArray = np.ndarray[Any, Any]
STANDARD = ("", "ai.onnx")
ROWS = -(2**20)  # in a shape: the number of rows, which no file states
UNKNOWN = 0  # in a shape: an unknown length
ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Exp": np.exp,
    "Mod": np.mod,
}


class Constants:
    """Constant arrays by name."""

    def __init__(self, onnx: Any, graph: Any, folder: Path) -> None:
        if graph.sparse_initializer:
            raise FileFormatError("it has sparse initializers: nnx can only read dense ones")
        self._onnx = onnx
        self._folder = folder.resolve()
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._arrays: dict[str, HostArray] = {}
        self._made = 0
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in STANDARD:
                self._tensors[node.output[0]] = self._of_node(node)
        self.size = sum(math.prod(tensor.dims) for tensor in self._tensors.values())
        self._check_files()

    def fold(self, node: Any, shapes: dict[str, list[int]]) -> bool:
        """Compute a node that takes only constants; return False for an operator that is not computed here.

        The shape of a value that depends on the data also counts as a constant, if all but the number of rows
        is known.
        """
        if node.output[0] in self:
            return True
        if node.domain not in STANDARD or len(node.output) != 1:
            return False
        if node.op_type == "Shape":
            result = self._shape(node, shapes.get(node.input[0], []))
        elif node.input and all(name in self or not name for name in node.input):
            result = self._computed(node)
        elif node.op_type == "CastLike" and node.input[0] in self:
            result = self.array(node.input[0])  # it already has the data's float type
        else:
            result = None
        if result is None:
            return False
        self._arrays[node.output[0]] = result
        self._made += result.size
        if self._made > 8 * self.size + 2**20:
            raise FileFormatError(f"{named(node)}: it computes too many numbers from few constants")
        return True

    def _computed(self, node: Any) -> HostArray | None:
        try:
            return _folded(self._onnx, node, [self.array(name) for name in node.input])
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            raise FileFormatError(f"{named(node)}: its constants do not fit it ({error})") from error

    def _shape(self, node: Any, shape: list[int]) -> HostArray | None:
        attributes = {entry.name: entry.i for entry in node.attribute}
        wanted = shape[slice(attributes.get("start", 0), attributes.get("end"))]
        return np.array(wanted, np.int64) if wanted and UNKNOWN not in wanted else None

    def __contains__(self, name: str) -> bool:
        return name in self._tensors or name in self._arrays

    def array(self, name: str) -> HostArray | None:
        """Return the array with a name, or None for an optional input that is left out."""
        if not name:
            return None
        if name not in self._arrays:
            tensor = self._tensors[name]
            if self._outside(tensor):
                self._onnx.external_data_helper.load_external_data_for_tensor(tensor, str(self._folder))
            self._arrays[name] = self._onnx.numpy_helper.to_array(tensor)
        return self._arrays[name]

    def _of_node(self, node: Any) -> Any:
        attribute = node.attribute[0]
        if attribute.name == "value":
            return attribute.t
        kinds: dict[str, Any] = {"value_float": np.float32, "value_floats": np.float32}
        kinds |= {"value_int": np.int64, "value_ints": np.int64}
        if attribute.name in kinds:
            value = np.array(self._onnx.helper.get_attribute_value(attribute), kinds[attribute.name])
            return self._onnx.numpy_helper.from_array(value, node.output[0])
        raise FileFormatError(f"{named(node)}: it is not an array of numbers")

    def _outside(self, tensor: Any) -> bool:
        return bool(tensor.data_location == self._onnx.TensorProto.EXTERNAL)

    def _check_files(self) -> None:
        """Check that weights outside the model are in its folder, and that no file is read past its end."""
        used: dict[Path, int] = {}
        for name, tensor in self._tensors.items():
            if not self._outside(tensor):
                continue
            entries = {entry.key: entry.value for entry in tensor.external_data}
            file = (self._folder / entries.get("location", "")).resolve()
            if not file.is_relative_to(self._folder):
                raise FileFormatError(f"the values of {name!r} are in {file}, outside the model's folder")
            if not file.is_file():
                raise FileFormatError(f"the file with the values of {name!r} is missing: {file}")
            offset = int(entries.get("offset", 0))
            size = (
                math.prod(tensor.dims) * self._onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            )
            used[file] = used.get(file, 0) + size
            available = file.stat().st_size
            if offset < 0 or offset + size > available or used[file] > available:
                raise FileFormatError(f"{file} is too short for the {size:,} bytes of the values of {name!r}")
            if int(entries.get("length", size)) != size:
                raise FileFormatError(f"the length of the values of {name!r} does not fit its shape")


def attributes_of(onnx: Any, node: Any) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def named(node: Any) -> str:
    """Return how an error names a node."""
    return f"node {node.name or node.output[0]!r} ({node.op_type})"


# ------------------------------------------------- operators whose inputs are all constants


def _folded(onnx: Any, node: Any, inputs: list[HostArray | None]) -> HostArray | None:
    """Return what a node computes from constants, or None for an operator that is not computed here."""
    attributes = attributes_of(onnx, node)
    first, *others = inputs
    if first is None:
        return None
    if node.op_type in ARITHMETIC:
        return _arithmetic(ARITHMETIC[node.op_type], inputs)
    if node.op_type == "Cast":
        return _cast(onnx, first, attributes["to"])
    if node.op_type == "Concat":
        return np.concatenate([value for value in inputs if value is not None], int(attributes["axis"]))
    if node.op_type in RESHAPING:
        second = others[0] if others else None
        return RESHAPING[node.op_type](first, attributes, second)
    if node.op_type == "Slice" and first.ndim == 1 and len(others) > 1:
        given = [0 if v is None else int(v.flat[0]) for v in others]
        start, stop, _, step = [*given, *(0, 1)[len(given) - 2 :]]
        return first[start : min(stop, first.size) : step]
    return None


def _arithmetic(function: Callable[..., Any], inputs: list[HostArray | None]) -> HostArray | None:
    values = [value for value in inputs if value is not None]
    if any(value.dtype.kind not in "fi" or bool((value == ROWS).any()) for value in values):
        return None  # the number of rows is unknown, so nothing can be computed from it
    if function is np.divide and values[0].dtype.kind == "i":
        return None  # ONNX rounds
    if len(values) > 1 and np.broadcast_shapes(*(v.shape for v in values)) not in [v.shape for v in values]:
        return None
    with np.errstate(all="ignore"):  # values that are not finite are refused where they are used
        result: HostArray = np.asarray(function(*values))
    return result


def _cast(onnx: Any, value: HostArray, to: int) -> HostArray | None:
    kind = onnx.helper.tensor_dtype_to_np_dtype(to)
    if kind.itemsize < 4 or (kind.kind == "f" and value.dtype.kind == "i" and bool((value == ROWS).any())):
        return None  # the number of rows is unknown, so nothing can be computed from it
    with np.errstate(all="ignore"):
        return value.astype(kind) if kind.kind in "fiub" and value.dtype.kind in "fiub" else None


def _reshape(value: HostArray, attributes: Any, to: HostArray | None) -> HostArray | None:
    if to is None or attributes.get("allowzero"):
        return None
    return value.reshape([value.shape[i] if n == 0 else int(n) for i, n in enumerate(to.tolist())])


def _axes(attributes: Any, given: HostArray | None) -> Any:
    return attributes.get("axes") if given is None else given.reshape(-1).tolist()


def _squeeze(value: HostArray, attributes: Any, given: HostArray | None) -> HostArray | None:
    axes = _axes(attributes, given)
    return np.squeeze(value, None if axes is None else tuple(axes))


def _unsqueeze(value: HostArray, attributes: Any, given: HostArray | None) -> HostArray | None:
    return np.expand_dims(value, tuple(_axes(attributes, given)))


def _flatten(value: HostArray, attributes: Any, _: HostArray | None) -> HostArray | None:
    axis = int(attributes.get("axis", 1))
    axis += value.ndim if axis < 0 else 0
    return value.reshape(int(np.prod(value.shape[:axis])), int(np.prod(value.shape[axis:])))


RESHAPING: dict[str, Callable[[HostArray, Any, HostArray | None], HostArray | None]] = {
    "Identity": lambda value, attributes, _: value,
    "Transpose": lambda value, attributes, _: np.transpose(value, attributes.get("perm")),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Gather": lambda value, attributes, at: None if at is None or value.ndim > 1 else np.take(value, at),
}
