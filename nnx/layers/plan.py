"""A plan: everything about a list of layers that depends on the batch.

Workspaces are allocated for the largest batch so far; a smaller batch uses their first rows. In training,
every output is stored for the backward pass, and gradients alternate between two buffers. In inference,
outputs alternate between two buffers. A training step allocates nothing, except the first of its size.

The plan decides which operations are fused, and never changes a layer: a `Dense` and the activation after it
share one buffer and become one backend operation.

A batch is one array of shape (rows, …). Each layer says in which form its passes see it (`Layer.layout`), and
the plan gives it views in that form. Layers that only change the shape (`Layer.is_view`) are not run at all.
If all rows are plain features, no views are needed, and no time is spent on them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nnx.backends import Array
from nnx.distributed import ALONE, Shard
from nnx.errors import ConfigurationError, DataError
from nnx.layers import factors
from nnx.layers.terms import PLAIN, Terms
from nnx.layers.workspace import Buffers, Workspace
from nnx.ops.activations import ACTIVATIONS
from nnx.parameters import Arena

if TYPE_CHECKING:
    from nnx.layers.base import Layer


class Plan:
    """Run layers forward and backward, for training or for inference.

    Parameters
    ----------
    layers : sequence of Layer
        Layers that are built, and bound to `arena`.
    arena : Arena
    keep : bool
        True stores every output for the backward pass; with False (inference), outputs alternate between two
        buffers.
    fuse : bool
        False runs every layer as a separate operation.
    without_last : bool
        Leave out the last layer, because a fused loss computes it and takes its input.
    inside : (Plan, int, int, tuple of int), optional
        For a branch of a container: the plan that runs the container, the container's position in it, the
        number of the branch, and the shape of its input.

    Attributes
    ----------
    groups : list of (Layer, Layer or None)
        The layers that run, in order, each with the activation fused into it.
    input_shape, output_shape : tuple of int
        Shapes of a row.
    branches : dict of int to list of Plan
        The plans of the containers' branches, by the position of the container in `groups`.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        arena: Arena,
        *,
        keep: bool,
        fuse: bool = True,
        without_last: bool = False,
        inside: tuple[Plan, int, int, tuple[int, ...] | None] | None = None,
    ) -> None:
        self.arena = arena
        self.backend = arena.backend
        self._hold = arena.backend.hold()
        self.keep = keep
        self.groups = _group(layers[:-1] if without_last else layers, fuse)
        self.input_shape = shape_of(inside[3] if inside else layers[0].input_shape)
        self.output_shape = self.input_shape
        if layers:
            self.output_shape = shape_of(layers[-1].input_shape if without_last else layers[-1].output_shape)
        self._integers = bool(self.groups) and self.groups[0][0].input_dtype != "float"
        shapes = [shape for layer in layers for shape in (layer.input_shape, layer.output_shape)]
        self._plain = all(
            len(shape_of(shape)) == 1 for shape in shapes
        )  # whether all rows are rows of features
        self._capacity = 0
        # branches share the buffers of the outermost plan
        self.buffers: Buffers = inside[0].buffers if inside else Buffers(arena.backend)
        self.weights: factors.RoundedWeights = (
            inside[0].weights if inside else factors.RoundedWeights(layers, arena)
        )
        self.path: tuple[int, ...] = (*inside[0].path, *inside[1:3]) if inside else ()
        self.branches: dict[int, list[Plan]] = {
            position: [
                Plan(branch, arena, keep=keep, fuse=fuse, inside=(self, position, number, layer.input_shape))
                for number, branch in enumerate(layer.branches)
            ]
            for position, (layer, _) in enumerate(self.groups)
            if layer.branches
        }
        self._bound: dict[int, list[tuple[Layer, Workspace]]] = {}
        self._current: list[tuple[Layer, Workspace]] | None = None

    # ------------------------------------------------------------- workspaces

    def _bind(self, rows: int) -> list[tuple[Layer, Workspace]]:
        if rows <= self._capacity:
            return self.lay_out(rows)
        # allocate everything again for the larger batch
        self.buffers.clear()
        self._forget()
        self._capacity = 0
        with self.backend.reserve(self.nbytes(rows), f"a batch of {rows:,} rows", "lower batch_size"):
            self._reserve(rows)
            steps = self.lay_out(rows)
        self._capacity = rows
        return steps

    def _forget(self) -> None:
        self._bound.clear()
        for plan in self._inner():
            plan._forget()

    def _inner(self) -> Iterator[Plan]:
        return (plan for plans in self.branches.values() for plan in plans)

    @property
    def reads_output(self) -> bool:
        """Return whether the backward pass reads the output; then nothing may change it before."""
        layer, activation = self.groups[-1]
        return self.keep and (activation is not None or layer.reads_output)

    def nbytes(self, rows: int) -> int:
        """Estimate the bytes that a batch needs, including inputs and targets."""
        inputs = [math.prod(shape_of(layer.input_shape)) for layer, _ in self.groups]
        outputs = [math.prod(shape_of(layer.output_shape)) for layer, _ in self.groups]
        if not outputs:
            return 0
        if self.keep:  # outputs, two alternating gradients, input, target, the loss's gradient
            width = sum(outputs) + 2 * max(inputs) + inputs[0] + 2 * outputs[-1]
        else:
            width = 2 * max(outputs) + inputs[0]
        inner = sum(plan.nbytes(rows) for plan in self._inner())
        return int(rows * width * self.arena.dtype.itemsize) + self._factor_bytes(rows) + inner

    def _factor_bytes(self, rows: int) -> int:
        """Estimate the bytes of the factors that products with bfloat16 factors round."""
        if not self.arena.bfloat16:
            return 0
        seen = (math.prod(_seen(layer, rows, layer.input_shape)[:-1]) for layer, _ in self.groups)
        count = sum(layer.factor_count(row) for (layer, _), row in zip(self.groups, seen, strict=True))
        return int(count * self.backend.xp.dtype(self.backend.factor_type).itemsize)

    def prepare(self, rows: int) -> None:
        """Allocate memory for a batch of `rows` rows in advance."""
        if rows not in self._bound:
            self._bind(rows)

    def bound(self, rows: int) -> Any:
        """Return an object that names the arrays for a batch; None if there are none."""
        return self._bound.get(rows)

    def lay_out(self, rows: int, y: Array = None, dx: Array = None) -> list[tuple[Layer, Workspace]]:
        """Give each layer its arrays for a batch; a container passes arrays for its branch's y and dx."""
        steps: list[tuple[Layer, Workspace]] = []
        arriving = (rows, *self.input_shape)
        for position, (layer, activation) in enumerate(self.groups):
            seen = _seen(layer, rows, layer.input_shape)
            given = _seen(layer, rows, layer.output_shape)
            workspace = Workspace(self, position, seen[0])
            workspace.arriving, workspace.view = arriving, None if seen == arriving else seen
            last = position == len(self.groups) - 1
            if last and y is not None:
                workspace.y = y.reshape(given)
            else:
                workspace.y = self._buffer("y", position if self.keep else position % 2, given)
            if self.keep and layer.input_dtype == "float":
                first = position == 0 and dx is not None
                workspace.dx = dx.reshape(seen) if first else self._buffer("dx", position % 2, seen)
            if activation is not None:
                workspace.kind, workspace.activation = activation.kind, activation  # type: ignore[attr-defined]
                # the last layer's dy belongs to the caller; other dy belong to the plan and can be reused
                name, number = ("dz", 0) if last else ("dx", (position + 1) % 2)
                workspace.dz = self._buffer(name, number, given) if self.keep else None
            if layer.term:
                workspace._term = workspace.buffer("term", (1,))
            workspace.rounded_W = self.weights.of(layer, self.buffers)
            if layer.branches:
                layer.place(workspace, rows)  # type: ignore[attr-defined]
            steps.append((layer, workspace))
            arriving = given
        factors.share(steps, rounds_x=bool(self.weights.places) and not self.path)
        self._bound[rows] = steps
        return steps

    def _buffer(self, name: str, number: int, shape: tuple[int, ...]) -> Array:
        return self.buffers.buffer((self.path, name, number), shape, self.arena.dtype)

    def _reserve(self, rows: int) -> None:
        """Allocate the shared buffers for the layer that needs most, before views of them exist."""
        name = "dx" if self.keep else "y"
        shapes = [layer.input_shape if self.keep else layer.output_shape for layer, _ in self.groups]
        sizes = [rows * math.prod(shape_of(shape)) for shape in shapes]
        for parity in (0, 1) if sizes else ():
            self._buffer(name, parity, (max(sizes[parity::2], default=rows),))
        for plan in self._inner():
            plan._reserve(rows)

    # ----------------------------------------------------------------- passes

    def takes(self, x: Array) -> bool:
        """Return whether x is known to fit: an array of the backend, floats of the network's type and shape.

        `Network.forward` finds out what is wrong with another array, or whether integers fit.
        """
        return (
            not self._integers
            and self.backend.owns(x)
            and x.dtype == self.arena.dtype
            and x.shape[1:] == self.input_shape
        )

    def forward(
        self,
        x: Array,
        training: bool = True,
        *,
        shard: Shard | None = None,
        draw: int | None = None,
        terms: Terms | None = None,
    ) -> Array:
        """Run the layers on x of shape (rows, …); the result is valid until the next forward pass.

        `shard` says which rows of the global batch these are; None is all of them. `draw` is the number of a
        random draw in a step: None takes the next number, so every training pass drops other elements; the
        same number repeats a draw. `terms` is for the layers that add terms to the loss; None is the plain
        mean over the rows in training, and no terms in inference.

        Raises
        ------
        DataError
            If x does not fit the first layer.
        """
        self.backend.in_order(self.arena)
        if x.base is not None and self.buffers.own(x):
            x = x.copy()  # x is a result of this plan, and this pass would overwrite it
        rows = x.shape[0]
        steps = self._bound.get(rows)
        if steps is None:
            if rows == 0:
                raise DataError("x has no rows, but a batch needs at least one")
            steps = self._bind(rows)
        if x.shape[1:] != self.input_shape:
            first = self.groups[0][0] if self.groups else None
            expected = ", ".join(map(str, ("rows", *self.input_shape)))
            raise DataError(f"x of shape {tuple(x.shape)} does not fit {first!s}, which takes ({expected})")
        self.buffers.terms = terms or (PLAIN if training else None)
        if self.weights.places:
            self.weights.write(x, steps[0][1], self.buffers)
        return self._pass(steps, x, training, shard or _all_of(rows), draw)

    def run(self, x: Array, workspace: Workspace) -> Array:
        """Do `forward` for a branch of a container with the given workspace."""
        steps = self._bound[x.shape[0]]
        return self._pass(steps, x, workspace.training, workspace.shard, workspace.draw)

    def _pass(
        self,
        steps: list[tuple[Layer, Workspace]],
        x: Array,
        training: bool,
        shard: Shard,
        draw: int | None,
    ) -> Array:
        step, seed, self._rows = self.arena.step, self.arena.seed, x.shape[0]
        with self._hold:
            for layer, workspace in steps:
                if workspace.view is not None:
                    x = x.reshape(workspace.view)
                workspace.x = x
                workspace.seed = seed
                workspace.keys = self.arena.keys
                if workspace.activation is not None:
                    workspace.alpha = workspace.activation.alpha  # type: ignore[attr-defined]
                workspace.training = training
                workspace.step = step
                workspace.draw = draw if draw is not None else self.arena.draw(layer.index) if training else 0
                workspace.shard = shard
                layer.forward_into(x, workspace.y, workspace)
                x = workspace.y
        self._current = steps
        return x if self._plain else x.reshape((self._rows, *self.output_shape))

    def backward(self, dy: Array, input_gradient: bool = False) -> Array | None:
        """Overwrite all parameters' gradients from dy = ∂L/∂y of the last forward pass.

        Return dx = ∂L/∂x if ``input_gradient`` is True, else None; the first layer then skips a product.

        Raises
        ------
        ConfigurationError
            If there was no forward pass, or ``input_gradient`` is True and the inputs are integers.
        DataError
            If dy does not have the output's shape.
        """
        steps = self._current
        if steps is None:
            raise ConfigurationError("call forward(x, training=True) before backward")
        expected = (self._rows, *self.output_shape)
        if dy.shape != expected:
            last = steps[-1][0] if steps else "its layers"
            raise DataError(f"dy of shape {tuple(dy.shape)} does not fit the output of {last!s}, {expected}")
        if input_gradient and steps and steps[0][0].input_dtype != "float":
            raise ConfigurationError(f"{steps[0][0]!s} takes integers, which have no gradient")
        return self.run_back(dy, input_gradient)

    def run_back(self, dy: Array, input_gradient: bool) -> Array | None:
        """Do `backward` without its checks, also for a branch of a container."""
        steps = self._current or []
        if not self._plain:
            dy = dy.reshape(steps[-1][1].y.shape if steps else (self._rows, *self.input_shape))
        if not steps:
            return dy if input_gradient else None
        with self._hold:
            for index in range(len(steps) - 1, -1, -1):
                layer, workspace = steps[index]
                dx = workspace.dx if index > 0 or input_gradient else None
                layer.backward_into(dy, dx, workspace)
                dy = dx if dx is None or workspace.view is None else dx.reshape(workspace.arriving)
        return dy if dy is None or self._plain else dy.reshape((self._rows, *self.input_shape))

    def outputs(self) -> Iterator[tuple[Layer, Array]]:
        """Yield (layer, output) of the last forward pass, in order; a fused pair appears as its `Dense`.

        The layers of a container come before the container.
        """
        for layer, workspace in self._current or []:
            for plan in workspace.plans:
                yield from plan.outputs()
            yield layer, workspace.y

    def terms(self) -> Iterator[tuple[Layer, Array]]:
        """Yield each layer with a term of the loss, and the term of the last forward pass, of shape (1,)."""
        for layer, workspace in self._current or []:
            for plan in workspace.plans:
                yield from plan.terms()
            if workspace.term is not None:
                yield layer, workspace.term


@functools.lru_cache(64)
def _all_of(rows: int) -> Shard:
    """Return the shard of a batch that no other rank shares."""
    return ALONE.shard(rows)


def shape_of(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape, which is known because the layer is connected."""
    assert shape is not None
    return shape


def _seen(layer: Layer, rows: int, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape in which a layer's passes see a batch (`Layer.layout`)."""
    shape = shape_of(shape)
    if layer.layout == "features":
        return (rows * math.prod(shape[:-1]), shape[-1])
    return (rows, math.prod(shape)) if layer.layout == "rows" else (rows, *shape)


def _group(layers: Sequence[Layer], fuse: bool) -> list[tuple[Layer, Layer | None]]:
    """Return pairs (layer, activation fused into it or None)."""
    groups: list[tuple[Layer, Layer | None]] = []
    adjacent = False  # whether no view changes the last group's output
    for layer in layers:
        if layer.is_view:
            adjacent = False
            continue
        previous = groups[-1] if adjacent else None
        adjacent = True
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
