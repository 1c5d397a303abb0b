"""The rounded factors of products in bfloat16: what writes them, and where they are stored.

On a CPU, a layer rounds its factors just before it multiplies them. On a GPU, a kernel that only rounds costs
a launch, so few do (`rounds_ahead`). One launch at the start of a pass rounds the weights of all layers and
the input of the first one. A layer whose output is a factor of the next layer writes it rounded too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from nnx.backends import Array
from nnx.layers.workspace import Buffers, Workspace
from nnx.parameters import Arena

if TYPE_CHECKING:
    from nnx.layers.base import Layer


class RoundedWeights:
    """r(W) of all dense layers of a plan, as one array.

    Parameters
    ----------
    layers : iterable of Layer
        The layers of the plan; those in containers are found.
    arena : Arena

    Attributes
    ----------
    places : dict
        By the index of a layer, where its W begins in `Arena.values`; empty if nothing is rounded ahead.

    Notes
    -----
    The array is the rounded form of a part of `Arena.values`: from the first of these layers to the last.
    """

    def __init__(self, layers: Iterable[Layer], arena: Arena) -> None:
        self._arena = arena
        self.places: dict[int, int] = {}
        stop = 0
        for layer in _all(layers) if arena.bfloat16 and arena.backend.rounds_ahead else ():
            W = getattr(layer, "W", None) if layer.takes_factors else None
            if W is not None:
                self.places[layer.index] = arena.place(W)
                stop = max(stop, arena.place(W) + W.size)
        start = min(self.places.values(), default=0)
        self._span = slice(start, stop)

    def write(self, x: Array, first: Workspace, buffers: Buffers) -> None:
        """Round all weights, and x if the first layer reads it as a factor.

        Each pass does it, so no copy of W is ever old.
        """
        backend, values, rounded = self._arena.backend, self._arena.values[self._span], self._rounded(buffers)
        if first.rounded_x is None:
            backend.round_to_bfloat16(values, rounded)
        else:
            shape = first.rounded_x.shape
            backend.round_both_to_bfloat16(values, rounded, x.reshape(shape), first.rounded_x)

    def of(self, layer: Layer, buffers: Buffers) -> Array | None:
        """Return r(W) of a layer; None if it is not part of the array."""
        place = self.places.get(layer.index)
        if place is None:
            return None
        W: Array = layer.W  # type: ignore[attr-defined]
        first = place - self._span.start
        return self._rounded(buffers)[first : first + W.size].reshape(W.shape)

    def _rounded(self, buffers: Buffers) -> Array:
        size = self._span.stop - self._span.start
        return buffers.buffer("rounded weights", (size,), self._arena.backend.factor_type)


def _all(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the layers, and those in containers."""
    for layer in layers:
        yield layer
        for branch in layer.branches:
            yield from _all(branch)


def share(steps: Sequence[tuple[Layer, Workspace]], rounds_x: bool) -> None:
    """Let each layer write its output rounded too, if the next layer reads it as a factor.

    `rounds_x` says whether the plan rounds the input of the first layer, see `RoundedWeights.write`.
    """
    if rounds_x and steps[0][0].takes_factors:
        first = steps[0][1]
        first.rounded_x = first.factor("x", first.view or first.arriving)
    for (layer, workspace), (following, its) in pairwise(steps):
        ahead = workspace.bfloat16 and workspace.backend.rounds_ahead
        if ahead and layer.takes_factors and following.takes_factors:
            its.rounded_x = its.factor("x", its.view or its.arriving)
            workspace.rounded_y = its.rounded_x.reshape(workspace.y.shape)


def forward(x: Array, W: Array, b: Array, y: Array, workspace: Workspace) -> None:
    """y = f(r(x) r(W) + b), where f is the activation that the plan fused; round what is not rounded yet."""
    backend, fused = workspace.backend, (workspace.kind, workspace.alpha)
    rounded_x, rounded_W = _factors(x, W, workspace)
    if not backend.rounds_ahead:
        backend.bfloat16_dense_forward(x, W, b, y, rounded_x, rounded_W, *fused)
        return
    if workspace.rounded_x is None:
        backend.round_to_bfloat16(x, rounded_x)
    if workspace.rounded_W is None:
        backend.round_to_bfloat16(W, rounded_W)
    backend.rounded_dense_forward(rounded_x, rounded_W, b, y, *fused, workspace.rounded_y)


def backward(dy: Array, W: Array, dW: Array, db: Array, dx: Array | None, workspace: Workspace) -> None:
    """Compute dW, db and dx from the factors of the forward pass."""
    factors = _factors(workspace.x, W, workspace)
    activation = workspace.kind, workspace.alpha, workspace.y, workspace.dz
    rounded_dz = workspace.factor("dz", dy.shape)
    workspace.backend.bfloat16_dense_backward(dy, *factors, dW, db, dx, rounded_dz, *activation)


def _factors(x: Array, W: Array, workspace: Workspace) -> tuple[Array, Array]:
    """Return the arrays for r(x) and r(W)."""
    rounded_x, rounded_W = workspace.rounded_x, workspace.rounded_W
    if rounded_x is None:
        rounded_x = workspace.factor("x", x.shape)
    if rounded_W is None:
        rounded_W = workspace.factor("W", W.shape)
    return rounded_x, rounded_W
