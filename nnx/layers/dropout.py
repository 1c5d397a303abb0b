"""Dropout."""

from __future__ import annotations

from typing import Any, ClassVar

from nnx.backends import Array
from nnx.errors import number
from nnx.layers.base import Layer
from nnx.layers.images import check_axes, positions
from nnx.layers.randomness import Draws
from nnx.layers.workspace import Workspace
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Dropout", "SpatialDropout1D", "SpatialDropout2D"]


class Masked(Draws, Layer):
    """Base of the layers that multiply by a mask of random zeros in training."""

    layout = "rows"
    replays = True
    _factor: float | None = None  # factor of the numbers that are kept; None: 1 / (1 − rate)

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = number(f"{type(self).__name__}: rate", rate, "[0, 1)")

    @property
    def reads_output(self) -> bool:
        """Return whether a subclass has its own backward pass."""
        return type(self).backward_into is not Masked.backward_into

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Apply the mask to x in training; copy x otherwise."""
        self._mask(x, y, workspace)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Apply the same mask to dy."""
        if dx is not None:
            self._mask(dy, dx, workspace)

    def _mask(self, source: Array, target: Array, workspace: Workspace) -> None:
        if workspace.training and self.rate > 0.0:
            key = self.drawn_key(workspace)
            workspace.backend.dropout(source, target, self.rate, key, workspace.row, self._factor)
        else:
            target[...] = source

    def config(self) -> dict[str, Any]:
        """Return the rate."""
        return {"rate": self.rate}


class Dropout(Masked):
    """In training y = x ∘ mask / (1 − rate), which keeps elements with probability 1 − rate; else y = x.

    Backward applies the same mask: dx = dy ∘ mask / (1 − rate). The mask is a hash of (seed, step, layer,
    global row, column), computed on the device. It is never stored or uploaded, it is the same on every
    device, and resuming a run does not change it. Each forward pass in training draws a new mask: further
    passes before the optimizer's next step are numbered, and this number is part of the hash. So you can use
    many passes of ``forward(x, training=True)`` for the mean and the variance of Monte Carlo dropout. Inputs
    may have any shape: all numbers of a row are its columns.

    Parameters
    ----------
    rate : float in [0, 1)

    Raises
    ------
    ConfigurationError
        If `rate` is outside [0, 1).

    References
    ----------
    Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting, section 4.
    """

    record = LayerRecord(
        names=("dropout",),
        cases=(Case({"rate": 0.4}), Case({"rate": 0.4}, "in inference", {"training": False})),
        keras=Counterpart("Dropout", {"rate": "rate"}),
        onnx=Counterpart("Dropout", arrays=("ratio",)),
        elementwise=True,
    )


class _Spatial(Dropout):
    """Base of the layers that drop whole channels."""

    layout = "shape"
    axes: ClassVar[int] = 2

    def shape_after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the same shape.

        Raises
        ------
        ConfigurationError
            If rows have another number of axes.
        """
        check_axes(self, self.axes, input_shape)
        return input_shape

    def _mask(self, source: Array, target: Array, workspace: Workspace) -> None:
        super()._mask(positions(source), positions(target), workspace)


class SpatialDropout2D(_Spatial):
    """In training, drop whole channels of an image: y = x ∘ mask / (1 − rate), alike at all positions.

    A channel of a row is kept with probability 1 − rate; else all its numbers are 0. Neighbouring numbers of
    a channel are often nearly equal, so `Dropout` would remove hardly any information. Backward applies the
    same mask: dx = dy ∘ mask / (1 − rate). The mask is a hash of (seed, step, layer, global row, channel), as
    in `Dropout`. An input of shape (rows, height, width, channels) gives an output of the same shape.

    Parameters
    ----------
    rate : float in [0, 1)

    Raises
    ------
    ConfigurationError
        If `rate` is outside [0, 1), or rows do not have three axes.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun and Bregler (2015), Efficient object localization using convolutional
    networks, section 3.2.
    """

    record = LayerRecord(
        names=("spatial_dropout2d",),
        cases=(
            Case({"rate": 0.4}, "on images", {"inputs": (2, 3, 4)}),
            Case({"rate": 0.4}, "in inference", {"inputs": (2, 3, 4), "training": False}),
        ),
        keras=Counterpart("SpatialDropout2D", {"rate": "rate"}),
        onnx=Counterpart("Dropout", arrays=("ratio",)),
    )


class SpatialDropout1D(_Spatial):
    """In training, drop whole channels of a sequence: y = x ∘ mask / (1 − rate), alike at all positions.

    Backward applies the same mask: dx = dy ∘ mask / (1 − rate). An input of shape (rows, length, channels)
    gives an output of the same shape.

    Parameters
    ----------
    rate : float in [0, 1)

    Raises
    ------
    ConfigurationError
        If `rate` is outside [0, 1), or rows do not have two axes.

    References
    ----------
    As for `SpatialDropout2D`.
    """

    axes = 1
    record = LayerRecord(
        names=("spatial_dropout1d",),
        cases=(Case({"rate": 0.4}, "on sequences", {"inputs": (3, 4)}),),
        keras=Counterpart("SpatialDropout1D", {"rate": "rate"}),
        onnx=Counterpart("Dropout", arrays=("ratio",)),
    )
