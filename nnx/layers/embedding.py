"""Embeddings: a table of vectors, one for each number of a vocabulary."""

from __future__ import annotations

from typing import Any

from nnx import initializers
from nnx.backends import Array
from nnx.errors import ConfigurationError, flag, whole
from nnx.initializers import Initializer
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Shapes
from nnx.records import Case, Counterpart, LayerRecord
from nnx.used_rows import UsedRows

__all__ = ["Embedding"]


class Embedding(Layer):
    """A vector for each number of a vocabulary: y = W[x].

    x holds integers from 0 to vocabulary − 1: words, categories, users. An input of shape (rows, …) gives an
    output of shape (rows, …, units). The layer is the first of a network, or of a container's branches.

    Forward: ``y[i] = W[x[i]]``. Backward: ``dW[v] = Σ dy[i]`` over all positions i with x[i] = v, in a fixed
    order, so the same data give the same bits. Integers have no gradient. A number that is out of range is
    refused before a layer reads it.

    Parameters
    ----------
    vocabulary : int
        How many numbers there are, and rows of W.
    units : int
        Length of the vectors.
    sparse : bool
        Whether a step touches only the rows of W that its batch used: the backward pass, clipping, the search
        for values that are not finite, and the optimizer. This is faster if the vocabulary is much larger
        than a batch. See Notes for what changes.
    initializer : str or callable
        Initializer of W: a name from `nnx.initializers.NAMES`, or an initializer. ``"uniform"`` is uniform on
        ±0.05, as in Keras.
    seed : int, optional
        Seed for this layer's weights, also in a network; None uses the network's seed.

    Attributes
    ----------
    W : array of shape (vocabulary, units)
    dW : array
        Gradient, overwritten by every backward pass.

    Raises
    ------
    ConfigurationError
        If a size is not a positive integer, or a name is unknown.

    Notes
    -----
    With ``sparse=True``, forward pass and gradient are the same. An optimizer updates the rows that the batch
    used, by its usual rule and with its usual step count, and leaves the others and their moments as they
    are. Compared with ``sparse=False``,

    - `SGD` without momentum and `Adagrad` give the same values, since a gradient of 0 changes nothing;
    - `SGD` with momentum, `Adam` and `RMSprop` differ: moments of a row that is not used do not decay, and do
      not move the row. PyTorch's ``SparseAdam`` does the same;
    - ``weight_decay`` and ``l2`` are refused for W, because unused rows would not shrink; set them to 0 for W
      with ``groups``;
    - an optimizer of yours gets the used rows only;
    - what you write to the gradient of rows that the last pass did not use has no effect, and stays there: to
      add up the gradients of several batches, use ``fit(accumulate=…)`` or ``sparse=False``;
    - ranks still sum the whole gradient, and then each updates the rows that any of them used.

    References
    ----------
    Bengio et al. (2003), A neural probabilistic language model, section 2: the table is called C there.

    Examples
    --------
    >>> import nnx
    >>> network = nnx.Network([nnx.Embedding(1000, 8), nnx.Flatten(), nnx.Dense(1)], seed=0)
    >>> network.predict([[3, 0, 3], [1, 2, 999]]).shape
    (2, 1)
    """

    record = LayerRecord(
        names=("embedding",),
        cases=(
            Case({"vocabulary": 5, "units": 3}, options={"x": ((0, 4, 4), (1, 0, 4))}),
            Case({"vocabulary": 5, "units": 3}, "on one number a row", {"x": ((0,), (4,), (0,))}),
            Case({"vocabulary": 4, "units": 1}, "on rows with axes", {"x": (((0, 1), (1, 1)),)}),
            Case({"vocabulary": 5, "units": 3, "sparse": True}, "sparse", {"x": ((0, 4, 4), (1, 0, 4))}),
        ),
        keras=Counterpart("Embedding", {"input_dim": "vocabulary", "output_dim": "units"}),
        onnx=Counterpart("Gather", arrays=("W",)),
        listed=False,  # it reads integers
    )
    layout = "rows"
    replays = True
    input_dtype = "integer"

    W: Array
    dW: Array  # noqa: N815
    used_W: UsedRows  # noqa: N815

    def __init__(
        self,
        vocabulary: int,
        units: int,
        *,
        sparse: bool = False,
        initializer: str | dict[str, Any] | Initializer = "uniform",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.vocabulary = self.input_limit = whole("Embedding: vocabulary", vocabulary)
        self.units = whole("Embedding: units", units)
        self.sparse = flag("Embedding: sparse", sparse)
        self.initializer = initializers.get(initializer)
        self.seed = None if seed is None else whole("Embedding: seed", seed, least=0)

    @property
    def reads_output(self) -> bool:
        """Return False, unless a subclass has its own backward pass."""
        return type(self).backward_into is not Embedding.backward_into

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the input's shape with a new last axis, of length `units`."""
        return (*input_shape, self.units)

    def parameter_shapes(self) -> Shapes:
        """Return the shape of W."""
        return {"W": (self.vocabulary, self.units)}

    def sparse_parameters(self) -> tuple[str, ...]:
        """Return W if the layer is sparse."""
        return ("W",) if self.sparse else ()

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return W from the initializer."""
        return {"W": self.initializer(generator, (self.vocabulary, self.units))}

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Copy a row of W for each number."""
        numbers = self._numbers(x, workspace)
        numbers[...] = x.reshape(-1)
        workspace.backend.gather(self.W, numbers, y.reshape(-1, self.units))

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dW; the rows that x does not use get 0."""
        backend, numbers = workspace.backend, self._numbers(workspace.x, workspace)
        if self.sparse:
            self.used_W.backward(dy.reshape(numbers.size, self.units), numbers)
            return
        rows = workspace.buffer("rows", numbers.shape, "int64")
        sums = workspace.buffer("sums", (numbers.size, self.units))
        backend.embedding_backward(dy.reshape(sums.shape), numbers, rows, sums)
        self.dW[...] = 0.0
        backend.put_rows(self.dW, rows, sums)

    def _numbers(self, x: Array, workspace: Workspace) -> Array:
        """Return the array for x as one row of int64, which the forward pass writes."""
        return workspace.buffer("numbers", (x.size,), "int64")

    def config(self) -> dict[str, Any]:
        """Return sizes, initializer and seed."""
        config: dict[str, Any] = {"vocabulary": self.vocabulary, "units": self.units}
        if self.sparse:
            config["sparse"] = True
        described = initializers.describe(self.initializer)
        if described is None and self.arena is None:
            raise ConfigurationError(
                f"{self!r}: your own initializer cannot be saved: build the network first"
            )
        if described not in (None, {"name": "uniform", "low": -0.05, "high": 0.05}):
            config["initializer"] = described
        if self.seed is not None:
            config["seed"] = self.seed
        return config

    def __repr__(self) -> str:
        return f"{self.name or 'Embedding'}({self.vocabulary}, {self.units})"
