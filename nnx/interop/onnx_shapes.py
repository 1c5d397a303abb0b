"""Read the ONNX operators that change only the shape of rows."""

from __future__ import annotations

import math

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.onnx_step import Step
from nnx.interop.onnx_tensors import ROWS, UNKNOWN


def reshaped(kind: str, step: Step) -> list[int] | None:
    """Return the shape of a row after the operator; None if (rows, 1) becomes (rows,).

    Here, `step.shape` is in the file's order.
    """
    shape, to = step.shape, _target(kind, step)
    width = UNKNOWN if UNKNOWN in shape[1:] else math.prod(shape[1:])
    same_rows = to[:1] in ([shape[0]], [ROWS]) or (to[:1] == [-1] and -1 not in to[1:])
    if same_rows and to[1:] == shape[1:] and width != UNKNOWN:
        return shape[1:]
    if same_rows and len(to) == 2 and len(shape) == 2 and to[1] == -1:
        return shape[1:]
    if width == 1 and len(shape) == 2 and to in ([-1], [ROWS], [shape[0]]):
        return None
    known = math.prod(length for length in to[1:] if length != -1)
    fits = known == width or (to[1:].count(-1) == 1 and known > 0 and width % known == 0)
    if not (same_rows and len(to) > 1 and width != UNKNOWN and fits and min(to[1:]) >= -1):
        raise ConfigurationError(
            f"it reshapes data from {_shown(shape)} to {_shown(to)}: nnx's layers keep rows apart"
        )
    return [width // known if length == -1 else length for length in to[1:]]


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
