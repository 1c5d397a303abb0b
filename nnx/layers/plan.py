"""A plan: everything about a stack of layers that depends on a batch, and on nothing else.

Workspaces are allocated for the largest batch seen; a smaller one uses their leading rows. In training every
output is kept for backward, and gradients alternate between two buffers; in inference outputs alternate too.
A training step after the first of its size allocates nothing.

Fusion is decided here and never changes a layer: a `Dense` and an activation behind it share one buffer and
become one backend operation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnx.backends import Array, Backend
from nnx.distributed import Part
from nnx.errors import ConfigurationError, DataError
from nnx.ops.activations import ACTIVATIONS
from nnx.parameters import Arena

if TYPE_CHECKING:
    from nnx.layers.base import Layer


class Buffers:
    """The workspaces of a plan: each is a view on a buffer that grows when it is too small."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: dict[Any, Array] = {}
        self._owned: set[int] = set()  # the buffers in _kept, by identity

    def buffer(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """A view of `shape` on the buffer kept under `key`."""
        size = math.prod(shape)
        exact = (key, shape, dtype)
        view = self._kept.get(exact)
        if view is None:
            whole = self._kept.get(key)
            if whole is None or whole.size < size or whole.dtype != dtype:
                whole = self._kept[key] = self._backend.empty(size, dtype)
                self._owned.add(id(whole))
            view = self._kept[exact] = whole[:size].reshape(shape)
        return view

    def own(self, x: Array) -> bool:
        """Whether `x` is a view on one of them."""
        return x.base is not None and id(x.base) in self._owned

    def clear(self) -> None:
        """Give all of them back."""
        self._kept.clear()
        self._owned.clear()


class Cache:
    """What one layer keeps between its forward and backward pass, for one batch size.

    Attributes
    ----------
    backend : Backend
    x, y : array
        The layer's input and output of the last forward pass.
    rows : int
        How many rows the batch has.
    training : bool
    step, row : int
        Optimizer steps taken, and the position of the batch's first row in the step's global batch:
        with the seed they determine a dropout mask.
    draw : int
        Training passes of this layer before this one since the last optimizer step: with the above it
        determines a dropout mask. 0 throughout `fit`.
    part : Part or None
        Where several ranks share the global batch: which of its rows these are.
    seed : int
    kind, alpha
        The activation fused into a `Dense`; ``"identity"`` where there is none.
    dz : array or None
        Room for the gradient before that activation.
    """

    __slots__ = ("_buffers", "_dtype", "_position", "activation", "alpha", "backend", "draw", "dx", "dz",
                 "kind", "part", "row", "rows", "seed", "step", "training", "x", "y")  # fmt: skip

    def __init__(self, plan: Plan, position: int, rows: int) -> None:
        self._buffers, self._dtype = plan.buffers, plan.arena.dtype  # not the plan, which holds this cache
        self._position = position
        self.backend = plan.arena.backend
        self.rows = rows
        self.training = False
        self.seed = plan.arena.seed
        self.step = 0
        self.row = 0
        self.draw = 0
        self.part: Part | None = None
        self.kind = "identity"
        self.alpha = 0.0
        self.activation: Layer | None = None  # which was fused: its slope may change between two steps
        self.x: Array = None
        self.y: Array = None
        self.dx: Array = None
        self.dz: Array = None

    def room(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """An array of the layer's own that lives as long as the plan; ask for it at every pass.

        Its contents from the forward pass are still there in the backward pass.
        """
        return self._buffers.buffer((self._position, name), shape, dtype or self._dtype)


class Plan:
    """Runs layers forward and backward in one mode.

    Parameters
    ----------
    layers : sequence of Layer
        Built, and bound to `arena`.
    arena : Arena
    keep : bool
        True keeps every output for backward; False (inference) lets outputs alternate between two buffers.
    fuse : bool
        False runs every layer as an operation of its own.
    without_last : bool
        Leave out the last layer: its work is part of a fused loss, which takes what would go into it.

    Attributes
    ----------
    groups : list of (Layer, Layer or None)
        What runs, in order: a layer, and the activation fused into it.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        arena: Arena,
        *,
        keep: bool,
        fuse: bool = True,
        without_last: bool = False,
    ) -> None:
        self.arena = arena
        self.backend = arena.backend
        self._hold = arena.backend.hold()
        self.keep = keep
        self.groups = _group(layers[:-1] if without_last else layers, fuse)
        self._inputs = layers[0].inputs
        self._capacity = 0
        self.buffers = Buffers(arena.backend)
        self._bound: dict[int, list[tuple[Layer, Cache]]] = {}
        self._current: list[tuple[Layer, Cache]] | None = None

    # ------------------------------------------------------------- workspaces

    def _bind(self, rows: int) -> list[tuple[Layer, Cache]]:
        if rows <= self._capacity:
            return self._lay_out(rows)
        # everything is laid out again for the larger batch
        self.buffers.clear()
        self._bound.clear()
        self._capacity = 0
        with self.backend.room(self.nbytes(rows), f"a batch of {rows:,} rows", "lower batch_size"):
            self._reserve(rows)
            steps = self._lay_out(rows)
        self._capacity = rows
        return steps

    def nbytes(self, rows: int) -> int:
        """About what a batch takes, its inputs and targets included."""
        inputs = [layer.inputs or 0 for layer, _ in self.groups]
        outputs = [layer.outputs or 0 for layer, _ in self.groups]
        if not outputs:
            return 0
        if self.keep:  # outputs, two gradients in turns, what comes in and what goes back
            width = sum(outputs) + 2 * max(inputs) + inputs[0] + 2 * outputs[-1]
        else:
            width = 2 * max(outputs) + inputs[0]
        return int(rows * width * self.arena.dtype.itemsize)

    def prepare(self, rows: int) -> None:
        """Make room for a batch before the first one comes."""
        if rows not in self._bound:
            self._bind(rows)

    def _lay_out(self, rows: int) -> list[tuple[Layer, Cache]]:
        dtype = self.arena.dtype
        steps: list[tuple[Layer, Cache]] = []
        for position, (layer, activation) in enumerate(self.groups):
            cache = Cache(self, position, rows)
            assert layer.inputs is not None
            assert layer.outputs is not None
            output = ("y", position if self.keep else position % 2)
            cache.y = self.buffers.buffer(output, (rows, layer.outputs), dtype)
            if self.keep:
                cache.dx = self.buffers.buffer(("dx", position % 2), (rows, layer.inputs), dtype)
            if activation is not None:
                cache.kind, cache.activation = activation.kind, activation  # type: ignore[attr-defined]
                # the last layer's dy is the caller's own; further down it is the plan's, free to be reused
                last = position == len(self.groups) - 1
                key = ("dz",) if last else ("dx", (position + 1) % 2)
                cache.dz = self.buffers.buffer(key, (rows, layer.outputs), dtype) if self.keep else None
            steps.append((layer, cache))
        self._bound[rows] = steps
        return steps

    def _reserve(self, rows: int) -> None:
        """Size the shared buffers for their widest user, before any view is taken."""
        dtype = self.arena.dtype
        for kind, widths in (
            ("y", [layer.outputs or 0 for layer, _ in self.groups]),
            ("dx", [layer.inputs or 0 for layer, _ in self.groups]),
        ):
            if widths and not (kind == "y" and self.keep) and not (kind == "dx" and not self.keep):
                for parity in (0, 1):
                    self.buffers.buffer((kind, parity), (rows * max(widths[parity::2], default=1),), dtype)

    # ----------------------------------------------------------------- passes

    def forward(
        self,
        x: Array,
        training: bool = True,
        row: int = 0,
        part: Part | None = None,
        draw: int | None = None,
    ) -> Array:
        """Run the layers on x of shape (rows, inputs); the result is valid until the next forward pass.

        `row` is the first one's place in the global batch, `part` what else is to be known of that where
        several ranks share it. `draw` numbers the random draws of a step: None takes the next, so that every
        training pass drops other elements; a number repeats a draw.

        Raises
        ------
        DataError
            If x does not fit the first layer.
        """
        if self.buffers.own(x):
            x = x.copy()  # a result of this plan fed to it again: its room is about to be written
        rows = x.shape[0]
        steps = self._bound.get(rows)
        if steps is None:
            if rows == 0:
                raise DataError("an empty batch: x has no rows")
            steps = self._bind(rows)
        if x.shape[1] != self._inputs:
            first = self.groups[0][0] if self.groups else None
            raise DataError(
                f"x of shape {tuple(x.shape)} does not fit {first!s}, which takes (rows, {self._inputs})"
            )
        step, seed = self.arena.step, self.arena.seed
        with self._hold:
            for layer, cache in steps:
                cache.x = x
                cache.seed = seed
                if cache.activation is not None:
                    cache.alpha = cache.activation.alpha  # type: ignore[attr-defined]
                cache.training = training
                cache.step = step
                cache.row = row
                cache.draw = draw if draw is not None else self.arena.draw(layer.index) if training else 0
                cache.part = part
                layer.forward_into(x, cache.y, cache)
                x = cache.y
        self._current = steps
        return x

    def backward(self, dy: Array, input_gradient: bool = False) -> Array | None:
        """Overwrite all parameters' gradients from dy = ∂L/∂y of the last forward pass.

        Returns dx = ∂L/∂x where ``input_gradient`` asks for it, else None: the first layer then saves the
        product.

        Raises
        ------
        ConfigurationError
            If there was no forward pass.
        DataError
            If dy is not of the output's shape.
        """
        steps = self._current
        if steps is None:
            raise ConfigurationError("backward before forward(x, training=True)")
        if not steps:
            return dy if input_gradient else None
        if dy.shape != steps[-1][1].y.shape:
            raise DataError(
                f"dy of shape {tuple(dy.shape)} does not fit the output of {steps[-1][0]!s}, "
                f"{tuple(steps[-1][1].y.shape)}"
            )
        with self._hold:
            for index in range(len(steps) - 1, -1, -1):
                layer, cache = steps[index]
                dx = cache.dx if index > 0 or input_gradient else None
                layer.backward_into(dy, dx, cache)
                dy = dx
        return dy

    def outputs(self) -> list[tuple[Layer, Array]]:
        """(layer, output) of the last forward pass, in order; a fused pair stands under its `Dense`."""
        return [(layer, cache.y) for layer, cache in self._current or []]


def _group(layers: Sequence[Layer], fuse: bool) -> list[tuple[Layer, Layer | None]]:
    """Pairs (layer, activation fused into it or None)."""
    groups: list[tuple[Layer, Layer | None]] = []
    for layer in layers:
        previous = groups[-1] if groups else None
        if (
            fuse
            and previous is not None
            and previous[1] is None
            and previous[0].takes_activation
            and layer.fused_kind
            and ACTIVATIONS[layer.fused_kind].from_output
        ):
            groups[-1] = (previous[0], layer)
        else:
            groups.append((layer, None))
    return groups
