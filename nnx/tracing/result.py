"""The trace of one training step: every number of it, and the ways to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnx.errors import ConfigurationError, nearest
from nnx.layers import Layer
from nnx.losses import Loss
from nnx.optimizers import Optimizer

if TYPE_CHECKING:
    from nnx.tracing.path import Path
    from nnx.tracing.weights import Weight

HostArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LayerTrace:
    """The arrays of one layer in the step.

    Attributes
    ----------
    layer : Layer
        The layer, in the copy of the network that took the step.
    x, y : array of shape (rows, …)
        Input and output.
    dy, dx : array or None
        ∂L/∂y and ∂L/∂x. dy is None for a last activation that is fused with the loss. dx is None if nothing
        needs it: for the first layer, and for integers.
    fused : str
        What computes this layer together with its own operation (``"the loss"``, ``"the layer before it"``);
        empty if the layer is a separate operation.
    """

    layer: Layer
    x: HostArray
    y: HostArray
    dy: HostArray | None
    dx: HostArray | None
    fused: str = ""

    @property
    def name(self) -> str:
        """Return the layer's name, such as ``"dense_1"``."""
        return self.layer.name

    @property
    def kind(self) -> str:
        """Return the name of the layer's class."""
        return type(self.layer).__name__


@dataclass(frozen=True)
class LossTrace:
    """The loss of the step.

    Attributes
    ----------
    loss : Loss
    total : float
        The loss as `fit` reports it: with the terms that layers add.
    y_true, y_pred : array
        The targets, and the predictions as the loss gets them: if the last activation is fused with the loss,
        its input.
    dy : array
        ∂L/∂y_pred.
    value : float
        The loss without the terms of layers.
    kind : str
        The kind of formula, see `nnx.ops.losses`; empty for your own loss.
    terms : dict of str to float
        The terms that layers add, by the name of the layer.
    """

    loss: Loss
    total: float
    y_true: HostArray
    y_pred: HostArray
    dy: HostArray
    value: float
    kind: str
    terms: dict[str, float]


@dataclass(frozen=True)
class ParameterTrace:
    """A parameter before and after the step.

    Attributes
    ----------
    name : str
    before, after : array
        Its values.
    gradient : array
        ∂L/∂parameter.
    clipped : array
        The gradient that the optimizer used: after `clip_norm` and `clip_value`.
    slots : dict of str to (array, array)
        The optimizer's moments before and after the step, by name. Empty for `LBFGS`.
    trainable : bool
    rule : Optimizer
        The optimizer with the settings of the parameter's group.
    """

    name: str
    before: HostArray
    gradient: HostArray
    clipped: HostArray
    after: HostArray
    slots: dict[str, tuple[HostArray, HostArray]]
    trainable: bool
    rule: Optimizer


@dataclass(frozen=True)
class Trace:
    """One training step, number by number; made by `Network.trace`.

    ``print(trace)`` shows it as text.

    Attributes
    ----------
    network : Network
        A copy of the network, after the step. The traced network itself has not changed.
    rows : int
    layers : tuple of LayerTrace
        In order; a container comes before the layers that it holds.
    loss : LossTrace
    optimizer : Optimizer
    parameters : dict of str to ParameterTrace
    statistics : dict of str to (array, array)
        The running statistics of layers before and after the step, by name.
    step : int
        The number of the step for the optimizer, from 1.
    scale : float
        Factor of the learning rate, see `nnx.parameters.OptimizerState`; nearly always 1.
    """

    network: Any
    rows: int
    layers: tuple[LayerTrace, ...]
    loss: LossTrace
    optimizer: Optimizer
    parameters: dict[str, ParameterTrace]
    statistics: dict[str, tuple[HostArray, HostArray]]
    step: int
    scale: float = 1.0

    def __getitem__(self, name: str) -> LayerTrace:
        """Return the trace of a layer by its name.

        Raises
        ------
        KeyError
            If there is no such layer.
        """
        for one in self.layers:
            if one.name == name:
                return one
        raise KeyError(
            f"{name!r} is no layer of this trace{nearest(name, [one.name for one in self.layers])}"
        )

    def weight(self, weight: str = "") -> Weight:
        """Explain one weight: its gradient as a sum, and its update term by term.

        Parameters
        ----------
        weight : str
            Such as ``"dense_1.W[0, 2]"`` or ``"dense_1.b[1]"``. Empty takes the weight with the largest
            gradient in the first dense layer, or in the first layer that has parameters.

        Raises
        ------
        ConfigurationError
            If there is no such weight, or the network has no parameters.
        """
        from nnx.tracing.weights import explain

        return explain(self, weight)

    def path(self, weight: str = "", row: int | None = None, through: tuple[str, ...] = ()) -> Path:
        """Follow the gradient of a weight from the loss back to it, along one path through the network.

        Parameters
        ----------
        weight : str
            As for `weight`.
        row : int, optional
            The row of the batch. None takes the one with the largest part of the gradient.
        through : tuple of str
            Units that the path goes through, such as ``("dense_2[5]",)``. In every other layer it takes the
            unit from which the largest part of the gradient comes.

        Raises
        ------
        ConfigurationError
            If there is no such weight, row or unit.
        """
        from nnx.tracing.path import follow

        return follow(self, weight, row, through)

    def text(
        self, weight: str = "", row: int | None = None, through: tuple[str, ...] = (), width: int = 80
    ) -> str:
        """Return the trace as text: forward, loss, backward, the chosen weight, and the update.

        Large arrays are shown in part, around the chosen path. The arguments are those of `path`, and the
        width of the text in characters.
        """
        from nnx.tracing.text import as_text

        return as_text(self, weight, row, through, width)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return (
            f"Trace({len(self.layers)} layers, {self.rows} rows, loss {self.loss.total:.6g}, "
            f"step {self.step} of {type(self.optimizer).__name__})"
        )

    def parameter(self, name: str) -> ParameterTrace:
        """Return the trace of a parameter, such as ``"dense_1.W"``.

        Raises
        ------
        ConfigurationError
            If there is no such parameter; the text suggests the nearest.
        """
        if name not in self.parameters:
            raise ConfigurationError(f"there is no parameter {name!r}{nearest(name, self.parameters)}")
        return self.parameters[name]
