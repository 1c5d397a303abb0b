"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nnx import initializers
from nnx.backends import Array
from nnx.errors import ConfigurationError, whole
from nnx.initializers import Initializer
from nnx.layers.activations import make
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Arena, Shapes
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Dense"]


class Dense(Layer):
    """A fully connected layer: y = x W + b, on the last axis of its input.

    Forward: ``y = x @ W + b``. Backward: ``dW = xᵀ dy``, ``db = Σ_rows dy``, ``dx = dy Wᵀ``. An input of
    shape (rows, …, inputs) gives an output of shape (rows, …, units).

    Parameters
    ----------
    inputs, units : int
        ``Dense(units)``, or ``Dense(units=…)``, infers its input width from what comes before it;
        ``Dense(inputs, units)`` states it.
    activation : str, optional
        Shorthand: ``Dense(8, activation="relu")`` in a network is ``Dense(8), ReLU()``.
    initializer : str or callable
        For W; b starts at zero. A name from `nnx.initializers.NAMES`, or an initializer.
    seed : int, optional
        Draws this layer's weights, in a network too; None leaves that to the network's seed.

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
        ),
        keras=Counterpart("Dense", {"units": "units"}),
        onnx=Counterpart("Gemm", arrays=("W", "b")),
        listed=False,  # it is written as its width
    )

    block: Array
    dblock: Array

    def __init__(
        self,
        inputs: int | None = None,
        units: int | None = None,
        *,
        activation: str | None = None,
        initializer: str | dict[str, Any] | Initializer = "glorot_uniform",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        known_inputs, units = (None, inputs) if units is None else (inputs, units)
        if activation is not None:
            make(activation)  # an unknown name is refused here, where it was written
        self.inputs = None if known_inputs is None else whole("Dense: inputs", known_inputs)
        self.outputs = self.units = whole("Dense: units", units)
        self.activation = activation
        self.initializer = initializers.get(initializer)
        self.seed = None if seed is None else whole("Dense: seed", seed, least=0)

    @property
    def takes_activation(self) -> bool:
        """True, unless a subclass has passes of its own."""
        own = type(self)
        return own.forward_into is Dense.forward_into and own.backward_into is Dense.backward_into

    @property
    def reads_output(self) -> bool:
        """Only for an activation fused into it, or if a subclass has passes of its own."""
        return not self.takes_activation

    def width(self, inputs: int) -> int:
        """The number of units."""
        return self.units

    def expand(self) -> list[Layer]:
        """The layer and, where the shorthand names one, its activation."""
        return [self] if self.activation is None else [self, make(self.activation)]

    def absorb(self) -> list[Layer]:
        """As `expand`, after which the layer alone is the affine map."""
        layers = self.expand()
        self.activation = None
        return layers

    def parameter_shapes(self) -> Shapes:
        """One block (inputs + 1, units): W above, b its last row."""
        assert self.inputs is not None
        return {"block": (self.inputs + 1, self.units)}

    def initial_values(self, generator: Any) -> dict[str, Any]:
        """W by the initializer, b zero."""
        assert self.inputs is not None
        block = initializers.Zeros()(generator, (self.inputs + 1, self.units))
        block[:-1] = self.initializer(generator, (self.inputs, self.units))
        return {"block": block}

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Take the block, and W and b within it."""
        super().bind(arena, views)
        self.W, self.b = self.block[:-1], self.block[-1]
        self.dW, self.db = self.dblock[:-1], self.dblock[-1]

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """y = x W + b, and the fused activation where the plan put one."""
        workspace.backend.dense_forward(x, self.W, self.b, y, workspace.kind, workspace.alpha)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """The gradients dW and db, and dx = dy Wᵀ."""
        workspace.backend.dense_backward(
            dy,
            workspace.x,
            self.W,
            self.dW,
            self.db,
            dx,
            workspace.kind,
            workspace.alpha,
            workspace.y,
            workspace.dz,
        )

    def named_parameters(self) -> Iterator[tuple[str, Array, Array]]:
        """W and b."""
        yield "W", self.W, self.dW
        yield "b", self.b, self.db

    def config(self) -> dict[str, Any]:
        """Widths, initializer and seed; a network has already split off the activation."""
        config: dict[str, Any] = {"inputs": self.inputs, "units": self.units}
        if self.inputs is None:
            config = {"inputs": self.units}
        described = initializers.describe(self.initializer)
        if described is None and self.arena is None:
            raise ConfigurationError(
                f"{self!r}: an initializer of your own cannot be written down; build the network first"
            )
        if described not in (None, "glorot_uniform"):
            config["initializer"] = described
        if self.seed is not None:
            config["seed"] = self.seed
        return config

    def __repr__(self) -> str:
        widths = f"{self.units}" if self.inputs is None else f"{self.inputs}, {self.units}"
        return f"{self.name or 'Dense'}({widths})"
