"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nnx import initializers
from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, flag, whole
from nnx.initializers import Initializer
from nnx.layers import factors
from nnx.layers.activations import make
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.ops.sparse import SparseBatch
from nnx.parameters import Arena, Shapes
from nnx.records import Case, Counterpart, LayerRecord
from nnx.used_rows import UsedRows, of_table

__all__ = ["Dense"]


class Dense(Layer):
    """A fully connected layer: y = x W + b, on the last axis of its input.

    Forward: ``y = x @ W + b``. Backward: ``dW = xᵀ dy``, ``db = Σ_rows dy``, ``dx = dy Wᵀ``. An input of
    shape (rows, …, inputs) gives an output of shape (rows, …, units).

    Parameters
    ----------
    inputs, units : int
        ``Dense(units)`` or ``Dense(units=…)`` takes the number of inputs from the layer or data before it;
        ``Dense(inputs, units)`` sets it.
    activation : str, optional
        Shorthand: in a network, ``Dense(8, activation="relu")`` means ``Dense(8), ReLU()``.
    sparse : bool
        For a first layer that gets sparse rows: whether a step updates only the rows of W whose features
        occur in its batch. See Notes.
    initializer : str or callable
        Initializer of W: a name from `nnx.initializers.NAMES`, or an initializer. b starts at zero.
    seed : int, optional
        Seed for this layer's weights, also in a network; None uses the network's seed.

    Attributes
    ----------
    W : array of shape (inputs, units)
    b : array of shape (units,)
    dW, db : array
        Gradients, overwritten by every backward pass.

    Raises
    ------
    ConfigurationError
        If a width is not a positive integer, or a name is unknown.

    Notes
    -----
    As the first layer of a network on a CPU, the layer computes over the non-zeros of sparse rows (matrices
    of ``scipy.sparse``), and its dW only for the features that occur in the batch. With ``sparse=False``, the
    numbers are those of the same dense rows. `SGD` without momentum and `Adagrad` then touch only these rows
    of W, as their rule leaves the others unchanged. `Adam`, `RMSprop` and momentum update all of W, because
    their moments also move rows whose gradient is 0.

    With ``sparse=True``, every optimizer updates only the rows of W that the batch used, by its usual rule
    and with its usual step count. Moments of the other rows do not decay and do not move them, as with
    `Embedding` and with PyTorch's ``SparseAdam``. ``weight_decay`` and ``l2`` are refused for W. Dense rows
    use every row of W. On a GPU and in bfloat16, where batches become dense, sparse rows are refused.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), Learning representations by back-propagating errors, eq. 1 to 6.
    """

    record = LayerRecord(
        names=("dense",),
        cases=(
            Case({"units": 3}),
            Case({"units": 1}, "on one row", {"rows": 1}),
            Case({"units": 3, "activation": "tanh"}, "with tanh"),
            Case({"units": 3, "activation": "gelu"}, "with gelu"),
            Case({"units": 3, "sparse": True}, "with the rows that a step used"),
        ),
        keras=Counterpart("Dense", {"units": "units"}),
        onnx=Counterpart("Gemm", arrays=("W", "b")),
        listed=False,  # users write its width instead
    )

    block: Array
    dblock: Array
    W: Array
    b: Array
    dW: Array  # noqa: N815
    db: Array
    used_W: UsedRows  # noqa: N815
    replays = True
    _late: Sequence[tuple[int, Array]] = ()  # gradients of layers that use W too, each with its step

    def __init__(
        self,
        inputs: int | None = None,
        units: int | None = None,
        *,
        activation: str | None = None,
        sparse: bool = False,
        initializer: str | dict[str, Any] | Initializer = "glorot_uniform",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        known_inputs, units = (None, inputs) if units is None else (inputs, units)
        if activation is not None:
            make(activation)  # refuses an unknown name here, where the user wrote it
        self.inputs = None if known_inputs is None else whole("Dense: inputs", known_inputs)
        self.outputs = self.units = whole("Dense: units", units)
        self.activation = activation
        self.sparse = flag("Dense: sparse", sparse)
        self.initializer = initializers.get(initializer)
        self.seed = None if seed is None else whole("Dense: seed", seed, least=0)

    @property
    def takes_activation(self) -> bool:
        """Return True, unless a subclass has its own passes."""
        own = type(self)
        return own.forward_into is Dense.forward_into and own.backward_into is Dense.backward_into

    @property
    def takes_factors(self) -> bool:  # type: ignore[override]
        """Return True, unless a subclass has its own passes."""
        return self.takes_activation

    @property
    def reads_output(self) -> bool:
        """Return False, unless a subclass has its own passes; a fused activation is counted separately."""
        return not self.takes_activation

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Return True, unless a subclass has its own passes."""
        return self.takes_activation

    def width(self, inputs: int) -> int:
        """Return the number of units."""
        return self.units

    def expand(self) -> list[Layer]:
        """Return the layer and, if the shorthand names one, its activation."""
        return [self] if self.activation is None else [self, make(self.activation)]

    def absorb(self) -> list[Layer]:
        """Do `expand`; afterwards this layer computes only x W + b."""
        layers = self.expand()
        self.activation = None
        return layers

    def parameter_shapes(self) -> Shapes:
        """Return the shape of the block (inputs + 1, units): W, with b as the last row. Sparse: W, and b."""
        assert self.inputs is not None
        if self.sparse:
            return {"W": (self.inputs, self.units), "b": (self.units,)}
        return {"block": (self.inputs + 1, self.units)}

    def sparse_parameters(self) -> tuple[str, ...]:
        """Return W if the layer is sparse."""
        return ("W",) if self.sparse else ()

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """Return W from the initializer, and b = 0."""
        assert self.inputs is not None
        if self.sparse:
            return {"W": self.initializer(generator, (self.inputs, self.units))}
        block = initializers.Zeros()(generator, (self.inputs + 1, self.units))
        block[:-1] = self.initializer(generator, (self.inputs, self.units))
        return {"block": block}

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Store views of the block, and of W and b in it."""
        super().bind(arena, views)
        if self.sparse:
            return
        self.W, self.b = self.block[:-1], self.block[-1]
        self.dW, self.db = self.dblock[:-1], self.dblock[-1]

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y = x W + b, and the activation if the plan fused one."""
        backend = workspace.backend
        if workspace.training:
            self.forget_late()
        if isinstance(x, SparseBatch):
            backend.sparse_forward(x, self.W, self.b, y, workspace.kind, workspace.alpha)
            return
        if workspace.bfloat16:
            factors.forward(x, self.W, self.b, y, workspace)
            return
        backend.dense_forward(x, self.W, self.b, y, workspace.kind, workspace.alpha)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dW, db, and dx = dy Wᵀ."""
        backend, x = workspace.backend, workspace.x
        activation = workspace.kind, workspace.alpha, workspace.y, workspace.dz
        if isinstance(x, SparseBatch):
            if dx is not None:
                raise ConfigurationError(f"{self!r}: sparse rows have no gradient: use dense x, x.toarray()")
            self._backward_sparse(dy, x, *activation, backend=backend)
        elif workspace.bfloat16:
            factors.backward(dy, self.W, self.dW, self.db, dx, workspace)
            self._wrote_all()
        else:
            backend.dense_backward(dy, x, self.W, self.dW, self.db, dx, *activation)
            self._wrote_all()
        if self._late:
            self.add_late(workspace.step)

    def _wrote_all(self) -> None:
        """Count all rows of W as used, because the whole gradient was written."""
        used = self._used_rows()
        if used is not None and used.lazy:
            used.use_all()
        elif used is not None:
            used.forget()

    def _backward_sparse(self, dy: Array, x: SparseBatch, *activation: Any, backend: Backend) -> None:
        """Compute db, and dW in the rows whose features occur in x."""
        used = self._used_rows(make=True)
        assert used is not None
        columns = x.by_column.columns
        sums = used.room_for(columns.size)
        backend.sparse_backward(dy, x, sums, self.db, *activation)
        used.take_gradient(columns, sums)

    def _used_rows(self, make: bool = False) -> UsedRows | None:
        """Return the used rows of W; None if the layer had no sparse rows yet, unless `make` is True."""
        if self.sparse:
            return self.used_W
        assert self.arena is not None
        return of_table(self.arena, self.W, self.dW, make) if make or self.arena.sparse else None

    def add_later(self, gradient: Array, step: int) -> None:
        """Take a part of the gradient of W from a layer that uses W too and comes later (`TiedDense`).

        The backward pass of this layer, which is still to come in this step, adds it to dW.
        """
        self._late = (*self._late, (step, gradient))

    def forget_late(self) -> None:
        """Forget what came before a training pass: the backward pass that it was for did not come here."""
        if self._late:
            self._late = ()

    def add_late(self, step: int) -> None:
        """Add to dW what other layers gave in this step; forget what they gave in others."""
        for given, gradient in self._late:
            if given == step:
                self.dW += gradient
        self._late = ()
        self._wrote_all()

    def factor_count(self, rows: int) -> int:
        """Return how many rounded factors a pass stores if products have bfloat16 factors."""
        assert self.inputs is not None
        return rows * (self.inputs + self.units) + self.inputs * self.units

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """Yield W and b."""
        yield "W", self.W, self.dW
        yield "b", self.b, self.db

    def config(self) -> dict[str, Any]:
        """Return widths, initializer and seed; in a network, the activation is a separate layer."""
        config: dict[str, Any] = {"inputs": self.inputs, "units": self.units}
        if self.inputs is None:
            config = {"inputs": self.units}
        if self.sparse:
            config["sparse"] = True
        described = initializers.describe(self.initializer)
        if described is None and self.arena is None:
            raise ConfigurationError(
                f"{self!r}: your own initializer cannot be saved: build the network first"
            )
        if described not in (None, "glorot_uniform"):
            config["initializer"] = described
        if self.seed is not None:
            config["seed"] = self.seed
        return config

    def __repr__(self) -> str:
        widths = f"{self.units}" if self.inputs is None else f"{self.inputs}, {self.units}"
        return f"{self.name or 'Dense'}({widths})"
