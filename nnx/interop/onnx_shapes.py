"""Read operators that only change the shape or the type of the data."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.onnx_fold import ROWS, UNKNOWN
from nnx.interop.onnx_nodes import Step
from nnx.interop.parts import Part, same_for_all_features

FLOATS = {"float": "float32", "double": "float64"}
RESHAPES = ("Flatten", "Reshape", "Squeeze")


class Reshaped(Enum):
    """The effect of a reshape on rows."""

    NOTHING = auto()
    ROWS = auto()  # rows of several axes become rows of features
    COLUMN = auto()  # (rows, 1) becomes (rows,)


def cast_to(onnx: Any, step: Step) -> str:
    """Return the float type that the data are cast to."""
    kind = onnx.TensorProto.DataType.Name(step.attributes["to"]).lower()
    if kind not in FLOATS:
        raise ConfigurationError(f"it casts to {kind}: nnx computes in float32 and float64")
    return FLOATS[kind]


def reshaped(kind: str, step: Step, parts: list[Part]) -> Reshaped:
    """Return the effect of a reshape on rows.

    Raises
    ------
    ConfigurationError
        If it mixes rows, splits them, or flattens anything but the input.
    """
    shape, to = step.shape, _target(kind, step)
    width = UNKNOWN if UNKNOWN in shape[1:] else math.prod(shape[1:])
    same_rows = to[:1] in ([shape[0]], [ROWS]) or (to[:1] == [-1] and -1 not in to[1:])
    if same_rows and to[1:] == shape[1:] and width != UNKNOWN:
        return Reshaped.NOTHING
    if same_rows and len(to) == 2 and len(shape) == 2 and to[1] == -1:
        return Reshaped.NOTHING
    if width == 1 and len(shape) == 2 and to in ([-1], [ROWS], [shape[0]]):
        return Reshaped.COLUMN
    if not (same_rows and len(to) == 2 and width != UNKNOWN and to[1] in (width, -1)):
        raise ConfigurationError(
            f"it reshapes data from {_shown(shape)} to {_shown(to)}: nnx's networks take rows of features"
        )
    if not all(same_for_all_features(part) for part in parts):
        raise ConfigurationError("nnx can only flatten the input, before any layer on vectors")
    return Reshaped.ROWS


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
