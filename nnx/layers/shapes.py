"""Layers that only change the shape of a row: they compute nothing, and copy nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnx.errors import ConfigurationError, whole
from nnx.layers.base import Layer
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Flatten", "Reshape"]


class _View(Layer):
    """A layer whose output is a view of its input; plans do not run it, they hand on the view."""

    layout = "shape"
    is_view = True


class Flatten(_View):
    """Make one axis of all axes of a row: (rows, a, b, …) becomes (rows, a · b · …).

    A view, in the forward and in the backward pass. The last axis varies fastest, as in Keras.
    """

    record = LayerRecord(
        names=("flatten",), keras=Counterpart("Flatten"), onnx=Counterpart("Flatten", fixed={"axis": 1})
    )

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """One axis with all numbers of a row."""
        return (math.prod(input_shape),)


class Reshape(_View):
    """Give rows another shape: (rows, …) becomes (rows, *shape).

    A view, in the forward and in the backward pass. The last axis varies fastest, as in Keras.

    Parameters
    ----------
    shape : int or sequence of int
        Of a row, without the batch axis. One size may be -1: it follows from the others.

    Raises
    ------
    ConfigurationError
        If a size is neither positive nor the only -1; when it is connected, if a row has another number of
        elements.
    """

    record = LayerRecord(
        names=("reshape",),
        cases=(Case({"shape": (2, -1)}, "on rows of shape (3, 4)", {"inputs": (3, 4)}),),
        keras=Counterpart("Reshape", {"target_shape": "shape"}),
        onnx=Counterpart("Reshape", arrays=("shape",)),
        listed=False,
    )

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else (shape,)
        if not sizes or sizes.count(-1) > 1:
            raise ConfigurationError(f"Reshape: shape takes sizes of which at most one is -1, not {shape!r}")
        self.shape = tuple(-1 if size == -1 else whole("Reshape: shape", size) for size in sizes)

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape, its -1 replaced."""
        size, known = math.prod(input_shape), math.prod(size for size in self.shape if size > 0)
        found = tuple(size // known if one == -1 else one for one in self.shape)
        if math.prod(found) != size:
            raise ConfigurationError(
                f"{self!r} does not fit rows of shape {input_shape}, which have {size} elements"
            )
        return found

    def config(self) -> dict[str, Any]:
        """The shape."""
        return {"shape": list(self.shape)}
