"""Columns of a table in one row of floats: take some of them, and embed those that hold categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, whole
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Arena, Shapes
from nnx.records import Case, LayerRecord

__all__ = ["CategoryEmbedding", "Columns"]


class Columns(Layer):
    """Take the features from `start` to `stop` − 1 of each row: y = x[:, start:stop].

    Backward: dx is dy in these columns, and 0 in all others.

    Parameters
    ----------
    start, stop : int

    Raises
    ------
    ConfigurationError
        If the range is empty, or rows have fewer features.
    """

    record = LayerRecord(
        names=("columns",),
        cases=(Case({"start": 1, "stop": 3}),),
        keras="its layers have no slice of features",
        onnx="it is written as Slice, and not read back",
        listed=False,
    )
    reads_output = False
    replays = True

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start = whole("Columns: start", start, least=0)
        self.stop = whole("Columns: stop", stop, least=self.start + 1)

    def width(self, inputs: int) -> int:
        """Return the number of columns, after checking that they exist."""
        if self.stop > inputs:
            raise ConfigurationError(f"{self!r} needs {self.stop} features, but rows have {inputs}")
        return self.stop - self.start

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Copy the columns."""
        y[...] = x[:, self.start : self.stop]

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Write dy into its columns."""
        if dx is not None:
            dx[...] = 0.0
            dx[:, self.start : self.stop] = dy

    def config(self) -> dict[str, Any]:
        """Return the range."""
        return {"start": self.start, "stop": self.stop}


class CategoryEmbedding(Layer):
    """A vector for each category of each column: y_j = W_j[x_j], columns next to each other.

    x holds categories as whole numbers in a float array: column j has the numbers 0 to cardinalities[j] − 1.
    A number outside of this range counts as 0, which is the usual number of unknown categories.

    Backward: dW_j[c] = Σ dy_j over the rows with category c, in a fixed order. dx = 0, as the output does not
    change with a small change of x. See `Embedding` for one column of integers.

    Parameters
    ----------
    cardinalities : sequence of int
        The number of categories of each column.
    units : int
        Length of the vectors.

    Attributes
    ----------
    W : array of shape (sum of the cardinalities, units)
        The vectors of the first column, then those of the second, and so on.

    Raises
    ------
    ConfigurationError
        If a size is not a positive integer, or there is not one cardinality for each column.

    References
    ----------
    Guo and Berkhahn (2016), Entity embeddings of categorical variables.

    Examples
    --------
    >>> import nnx
    >>> network = nnx.Network([nnx.CategoryEmbedding([3, 10], units=4), nnx.Dense(1)], seed=0)
    >>> network.predict([[2, 9], [0, 0]]).shape
    (2, 1)
    """

    record = LayerRecord(
        names=("category_embedding",),
        cases=(
            Case(
                {"cardinalities": (3, 5), "units": 2},
                options={"x": ((0.0, 4.0), (2.0, 1.0), (2.0, 4.0), (1.0, 0.0))},
            ),
        ),
        keras="its Embedding has one vocabulary for all columns",
        onnx="it is written as Round, Where and Gather, and not read back",
        listed=False,
    )
    layout = "features"
    reads_output = False
    replays = True
    W: Array
    dW: Array  # noqa: N815

    def __init__(self, cardinalities: Sequence[int], units: int) -> None:
        super().__init__()
        if isinstance(cardinalities, str) or not isinstance(cardinalities, Sequence) or not cardinalities:
            raise ConfigurationError(
                f"CategoryEmbedding: cardinalities must be a list with the number of categories of each "
                f"column, not {cardinalities!r:.60}"
            )
        self.cardinalities = [whole("CategoryEmbedding: cardinalities", one) for one in cardinalities]
        self.units = whole("CategoryEmbedding: units", units)
        self.inputs = len(self.cardinalities)

    def width(self, inputs: int) -> int:
        """Return `units` numbers for each column."""
        return inputs * self.units

    def parameter_shapes(self) -> Shapes:
        """Return the shape of W."""
        return {"W": (sum(self.cardinalities), self.units)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return W, normal with variance 1/units; 0 for number 0 of each column.

        If no row of the training has an unknown category, its vector is never trained. At 0, near the mean of
        the others, it changes a prediction least.
        """
        values = generator.normal(0.0, 1.0 / math.sqrt(self.units), (sum(self.cardinalities), self.units))
        values[[0, *accumulate(self.cardinalities)][:-1]] = 0.0
        return {"W": values}

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Copy the numbers of categories, and where each column's vectors begin, to the device."""
        super().bind(arena, views)
        begins = [0, *accumulate(self.cardinalities)][:-1]
        with arena.backend.hold():
            self._limits = arena.backend.asarray(self.cardinalities, arena.dtype)
            self._begins = arena.backend.xp.asarray(begins, dtype="int64")

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Copy a vector for each category."""
        places = self._places(x, workspace)
        workspace.backend.category_places(x, self._limits, self._begins, places.reshape(x.shape))
        workspace.backend.gather(self.W, places, y.reshape(-1, self.units))

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dW; the vectors that x does not use get 0."""
        backend, places = workspace.backend, self._places(workspace.x, workspace)
        rows = workspace.buffer("rows", places.shape, "int64")
        sums = workspace.buffer("sums", (places.size, self.units))
        backend.embedding_backward(dy.reshape(sums.shape), places, rows, sums)
        self.dW[...] = 0.0
        backend.put_rows(self.dW, rows, sums)
        if dx is not None:
            dx[...] = 0.0

    def _places(self, x: Array, workspace: Workspace) -> Array:
        """Return the array for the rows of W that x uses, which the forward pass writes."""
        return workspace.buffer("places", (x.size,), "int64")

    def config(self) -> dict[str, Any]:
        """Return the sizes."""
        return {"cardinalities": self.cardinalities, "units": self.units}

    def __repr__(self) -> str:
        count = len(self.cardinalities)
        return f"{self.name or 'CategoryEmbedding'}({count} columns, units={self.units})"
