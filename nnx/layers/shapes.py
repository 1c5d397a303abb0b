"""Layers that only change the shape of a row; they compute nothing and copy nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnx.errors import ConfigurationError, whole
from nnx.layers.base import Layer
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Flatten", "Reshape"]


class _View(Layer):
    """A layer whose output is a view of its input; plans pass on the view and do not run the layer."""

    layout = "shape"
    is_view = True
    replays = True


class Flatten(_View):
    """Join all axes of a row into one: (rows, a, b, …) becomes (rows, a · b · …).

    The result is a view, in the forward and in the backward pass. The last axis varies fastest, as in Keras.
    """

    record = LayerRecord(
        names=("flatten",), keras=Counterpart("Flatten"), onnx=Counterpart("Flatten", fixed={"axis": 1})
    )

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape with one axis for all numbers of a row."""
        return (math.prod(input_shape),)


class Reshape(_View):
    """Give rows another shape: (rows, …) becomes (rows, *shape).

    The result is a view, in the forward and in the backward pass. The last axis varies fastest, as in Keras.

    Parameters
    ----------
    shape : int or sequence of int
        The new shape of a row, without the batch axis. One size may be -1: it is computed from the others.

    Raises
    ------
    ConfigurationError
        If a size is not positive (only one may be -1), or, in a network, if rows have another number of
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
            raise ConfigurationError(
                f"Reshape: shape must be one or more sizes, of which one may be -1, not {shape!r}"
            )
        self.shape = tuple(-1 if size == -1 else whole("Reshape: shape", size) for size in sizes)

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape, with -1 replaced."""
        size, known = math.prod(input_shape), math.prod(size for size in self.shape if size > 0)
        found = tuple(size // known if one == -1 else one for one in self.shape)
        if math.prod(found) != size:
            raise ConfigurationError(
                f"{self!r} does not fit rows of shape {input_shape}, which have {size} elements"
            )
        return found

    def config(self) -> dict[str, Any]:
        """Return the shape."""
        return {"shape": list(self.shape)}
