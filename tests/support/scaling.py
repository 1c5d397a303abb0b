"""A layer of a user: a factor for each feature."""

from __future__ import annotations

from typing import Any

import numpy as np

import nnx
from nnx.layers import Workspace


class Scale(nnx.Layer):
    """A right one, whose constructor's argument is in no config; subclasses break one thing each."""

    def __init__(self, power: int = 1) -> None:
        super().__init__()
        self.power = power

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"factor": (self.inputs,)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        return {"factor": np.ones(self.inputs)}

    def forward_into(self, x: Any, y: Any, cache: Workspace) -> None:
        y[...] = x * self.factor**self.power

    def backward_into(self, dy: Any, dx: Any, cache: Workspace) -> None:
        self.dfactor[...] = (dy * cache.x * self.power * self.factor ** (self.power - 1)).sum(axis=0)
        if dx is not None:
            dx[...] = dy * self.factor**self.power
