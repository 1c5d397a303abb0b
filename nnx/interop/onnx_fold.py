"""Compute operators whose inputs are all constants; exporters write them after a stored array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

HostArray = np.ndarray[Any, Any]
ROWS = -(2**20)  # stands in a shape for the number of rows, which no file states
UNKNOWN = 0  # stands in a shape for an unknown length
ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Exp": np.exp,
}


def folded(onnx: Any, node: Any, inputs: list[HostArray | None]) -> HostArray | None:
    """Return what a node computes from constants, or None for an operator that is not computed here.

    Raises
    ------
    ValueError, IndexError
        If the constants do not fit the operator.
    """
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
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
        start, stop, _, step = ([int(v.flat[0]) for v in others if v is not None] + [0, 1])[:4]
        return first[start : min(stop, first.size) : step]
    return None


def _arithmetic(function: Callable[..., Any], inputs: list[HostArray | None]) -> HostArray | None:
    values = [value for value in inputs if value is not None]
    if any(value.dtype.kind != "f" for value in values):
        return None
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
