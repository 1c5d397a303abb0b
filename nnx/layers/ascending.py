"""Numbers in ascending order, for quantiles that do not cross."""

from __future__ import annotations

from itertools import pairwise

from nnx.backends import Array
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.records import LayerRecord

__all__ = ["Ascending"]


class Ascending(Layer):
    """y_1 = x_1, and y_j = y_{j−1} + softplus(x_j): the numbers on the last axis never descend.

    It is the last layer of a network with several quantiles (`Pinball`), which then cannot cross. Backward,
    with g_j = Σ_{i ≥ j} dy_i: dx_1 = g_1, and dx_j = g_j sigmoid(x_j).

    Examples
    --------
    >>> import numpy as np
    >>> import nnx
    >>> y = nnx.Ascending().forward(np.array([[3.0, -5.0, 1.0, -40.0]]))
    >>> bool((np.diff(y) >= 0).all())
    True
    """

    record = LayerRecord(
        names=("ascending",),
        keras="Keras has no such layer",
        onnx="it would be several operators; nnx does not write it",
    )
    replays = True

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Add up the first number and the softplus of the others."""
        steps = workspace.buffer("steps", x.shape)
        workspace.backend.activation_forward("softplus", x, steps)
        steps[:, 0] = x[:, 0]
        columns = workspace.buffer("columns", x.shape[::-1])
        columns[...] = steps.T
        for before, column in pairwise(columns):
            column += before
        y[...] = columns.T

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Add up the gradients from the last number backwards."""
        if dx is None:
            return
        x = workspace.x
        slopes, columns = workspace.buffer("steps", x.shape), workspace.buffer("columns", x.shape[::-1])
        workspace.backend.activation_forward("sigmoid", x, slopes)
        slopes[:, 0] = 1.0
        columns[...] = dy.T
        for after, column in pairwise(columns[::-1]):
            column += after
        workspace.backend.xp.multiply(columns.T, slopes, out=dx)
