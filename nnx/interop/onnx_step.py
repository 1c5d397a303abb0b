"""A node of an ONNX graph, as the readers of operators see it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.onnx_layouts import HostArray, Layout, unfolded
from nnx.interop.onnx_tensors import named


class Step(NamedTuple):
    """A node, and what a reader of its operator needs.

    Attributes
    ----------
    inputs : list
        The arrays; None for the data.
    attributes : dict
    outputs : int
        How many of its outputs are used.
    shape : list of int
        The shape of the data in nnx's order of axes, with the axis of rows.
    layout : Layout
        The file's order of axes.
    after : list of int
        The shape that the file states for the result, in the file's order; empty if it is unknown.
    opset : int
    notes : list of str
        What the caller of the reader is warned about.
    """

    node: Any
    inputs: list[HostArray | None]
    attributes: dict[str, Any]
    outputs: int
    shape: list[int]
    layout: Layout
    after: list[int]
    opset: int
    notes: list[str]

    @property
    def rank(self) -> int:
        """Return the number of axes of the data."""
        return len(self.shape)

    def number(self, name: str, otherwise: float) -> float:
        """Return a number as it was written: ONNX stores 32 bits, and 0.3 would come back as 0.30000001."""
        return float(str(np.float32(self.attributes.get(name, otherwise))))

    def constant(self, position: int) -> HostArray | None:
        """Return the array at a position, or None if it is left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def needed(self, position: int) -> HostArray:
        """Return the array at a position, which must be there and must not be the data."""
        array = self.constant(position)
        if array is None:
            raise ConfigurationError("its first input must be the data, and its weights must be constants")
        return array

    def last_axis(self, name: str, otherwise: int) -> None:
        """Refuse an axis that is not the last."""
        axis = int(self.attributes.get(name, otherwise))
        if self.layout.order[axis % self.rank] != self.rank - 1:
            last = "the channels, which it has last" if self.layout.images else "the last"
            raise ConfigurationError(f"it works on axis {axis} of {self.rank}: nnx's layers work on {last}")

    def matrix(self, W: HostArray) -> HostArray:
        """Return the weights of a product with the data's last axis, with their rows in nnx's order."""
        if self.layout.images:
            raise ConfigurationError("its product is over another axis than the channels, which nnx has last")
        return unfolded(W, self.layout.folded, 0) if self.layout.folded else W

    def say(self, text: str) -> None:
        """Warn the caller of the reader."""
        self.notes.append(f"{named(self.node)}: {text}")
