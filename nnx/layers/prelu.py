"""The rectifier with trained slopes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnx import initializers
from nnx.backends import Array
from nnx.errors import ConfigurationError, number, whole
from nnx.layers.base import Layer
from nnx.layers.plan import shape_of
from nnx.layers.workspace import Workspace
from nnx.parameters import Shapes
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["PReLU"]


class PReLU(Layer):
    """y = x where x > 0, else α x, where the slopes α are trained.

    Backward: dx = dy where x > 0, else α dy; dα = Σ dy min(x, 0) over the rows, and over the axes that share
    a slope.

    Parameters
    ----------
    shared_axes : sequence of int, optional
        Axes of x along which all numbers share a slope; 1 is the first axis after that of the rows, as in
        Keras. For images, ``[1, 2]`` gives a slope for each channel. None gives a slope for each number of a
        row.
    initial : float
        The slopes at the start.

    Attributes
    ----------
    alpha, dalpha : array
        The slopes and their gradients, with the shape of a row, and length 1 along the shared axes.

    Raises
    ------
    ConfigurationError
        If an argument is invalid, or x has no such axis.

    References
    ----------
    He, Zhang, Ren and Sun (2015), Delving deep into rectifiers, eq. 1 and 10.
    """

    record = LayerRecord(
        names=("prelu",),
        cases=(
            Case(),
            Case({"shared_axes": (1,)}, "with one slope"),
            Case({"shared_axes": (1, 2)}, "with a slope for each channel", {"inputs": (2, 3, 4)}),
            Case({"shared_axes": (2,)}, "with slopes shared along one axis", {"inputs": (2, 3, 4)}),
        ),
        keras=Counterpart("PReLU", {"shared_axes": "shared_axes"}),
        onnx=Counterpart("PRelu", arrays=("alpha",)),
        activation=True,
    )

    layout = "shape"
    replays = True
    reads_output = False
    alpha: Array
    dalpha: Array

    def __init__(self, shared_axes: Sequence[int] | None = None, initial: float = 0.25) -> None:
        super().__init__()
        if shared_axes is not None and (
            isinstance(shared_axes, str) or not isinstance(shared_axes, Sequence)
        ):
            raise ConfigurationError(
                f"PReLU: shared_axes must be a list of axes, such as [1, 2], not {shared_axes!r:.60}"
            )
        axes = None if shared_axes is None else [whole("PReLU: shared_axes", axis) for axis in shared_axes]
        self.shared_axes = sorted(set(axes)) if axes else None
        self.initial = number("PReLU: initial", initial, "(-inf, inf)")

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the input's shape, after checking that it has the shared axes."""
        odd = [axis for axis in self.shared_axes or () if axis > len(input_shape)]
        if odd:
            raise ConfigurationError(
                f"PReLU: shared_axes has the axis {odd[0]}, but rows of shape {input_shape} have the axes "
                f"1 to {len(input_shape)}"
            )
        return input_shape

    def parameter_shapes(self) -> Shapes:
        """Return the shape of a row, with length 1 along the shared axes."""
        shared = self.shared_axes or ()
        return {"alpha": tuple(1 if i in shared else n for i, n in enumerate(shape_of(self.input_shape), 1))}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return equal slopes."""
        return {"alpha": initializers.Constant(self.initial)(generator, self.parameter_shapes()["alpha"])}

    def config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"shared_axes": self.shared_axes, "initial": self.initial}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y on rows of numbers with different slopes."""
        slopes = self._slopes(workspace)
        columns = slopes.size
        workspace.backend.prelu_forward(x.reshape(-1, columns), slopes, y.reshape(-1, columns))

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dα, and dx unless it is None."""
        backend, slopes, first = workspace.backend, self._slopes(workspace), self._first()
        columns, inner = slopes.size, self._inner(first)
        sums = self.dalpha.reshape(-1)
        if inner:
            sums = workspace.buffer("sums of slopes", (columns,))
        backend.prelu_backward(
            dy.reshape(-1, columns), workspace.x.reshape(-1, columns), slopes, sums,
            None if dx is None else dx.reshape(-1, columns),
        )  # fmt: skip
        row = list(shape_of(self.input_shape)[first:])
        for axis in inner:
            before, after = math.prod(row[:axis]), math.prod(row[axis + 1 :])
            total = workspace.buffer(f"sums along {axis}", (before, after))
            if axis == inner[-1]:
                total = self.dalpha.reshape(before, after)
            sums = backend.axis_sums(sums.reshape(before, row[axis], after), total)
            row[axis] = 1

    def _first(self) -> int:
        """Return how many axes, from the first, share slopes; the last axis is not counted.

        x is then an array of rows × these positions, and of columns that may have different slopes.
        """
        shared, most = self.shared_axes or (), len(shape_of(self.input_shape)) - 1
        return next((axis for axis in range(most) if axis + 1 not in shared), most)

    def _inner(self, first: int) -> tuple[int, ...]:
        """Return the shared axes after those, counted from there."""
        return tuple(axis - 1 - first for axis in self.shared_axes or () if axis > first)

    def _slopes(self, workspace: Workspace) -> Array:
        """Return a slope for each column."""
        first = self._first()
        if not self._inner(first):
            return self.alpha.reshape(-1)
        row = shape_of(self.input_shape)[first:]
        slopes = workspace.buffer("slopes", (math.prod(row),))
        slopes.reshape(row)[...] = self.alpha.reshape(self.alpha.shape[first:])
        return slopes
