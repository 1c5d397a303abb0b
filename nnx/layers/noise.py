"""Noise for denoising autoencoders: layers that damage their input in training, and return it otherwise."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.errors import number
from nnx.layers.base import Layer
from nnx.layers.dropout import Masked
from nnx.layers.randomness import Draws
from nnx.layers.workspace import Workspace
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["GaussianNoise", "MaskNoise"]


class GaussianNoise(Draws, Layer):
    """In training y = x + stddev · n, where n is standard normal noise; in inference y = x.

    Backward: dx = dy. The noise is a hash of (seed, step, layer, global row, column), like the mask of
    `Dropout`: it is never stored, it is the same on every device (up to rounding), and resuming a run does
    not change it. Each forward pass in training draws new noise. All numbers of a row are its columns.

    As the first layer of an autoencoder that is trained to return the undamaged rows (``fit(x, x)``), it
    makes a denoising autoencoder.

    Parameters
    ----------
    stddev : float of at least 0
        Standard deviation of the noise, in the units of x.

    Raises
    ------
    ConfigurationError
        If `stddev` is negative or not finite.

    References
    ----------
    Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010), Stacked denoising autoencoders, section 3.3.

    Examples
    --------
    >>> import nnx
    >>> network = nnx.Network([nnx.GaussianNoise(0.3), nnx.Dense(2, activation="tanh"), nnx.Dense(6)])
    >>> network.build(6).output_shape
    (6,)
    """

    record = LayerRecord(
        names=("gaussian_noise",),
        cases=(Case({"stddev": 0.4}), Case({"stddev": 0.4}, "in inference", {"training": False})),
        keras=Counterpart("GaussianNoise", {"stddev": "stddev"}),
        onnx=Counterpart("Identity"),  # a file has no training
        elementwise=True,
    )
    layout = "rows"
    replays = True

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = number("GaussianNoise: stddev", stddev, "[0, inf)")

    @property
    def reads_output(self) -> bool:
        """Return whether a subclass has its own backward pass."""
        return type(self).backward_into is not GaussianNoise.backward_into

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Add noise to x in training; copy x otherwise."""
        if workspace.training and self.stddev > 0.0:
            key = self.drawn_key(workspace)
            workspace.backend.add_noise(x, y, self.stddev, key, workspace.row)
        else:
            y[...] = x

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Copy dy."""
        if dx is not None:
            dx[...] = dy

    def config(self) -> dict[str, Any]:
        """Return the standard deviation."""
        return {"stddev": self.stddev}


class MaskNoise(Masked):
    """In training y = x ∘ mask, which sets numbers to 0 with probability `rate`; in inference y = x.

    Backward: dx = dy ∘ mask. In contrast to `Dropout`, the numbers that are kept do not grow. The mask is
    that of `Dropout`: a hash of (seed, step, layer, global row, column). All numbers of a row are its
    columns.

    As the first layer of an autoencoder that is trained to return the undamaged rows (``fit(x, x)``), it
    makes a denoising autoencoder, which learns to fill in missing numbers.

    Parameters
    ----------
    rate : float in [0, 1)

    Raises
    ------
    ConfigurationError
        If `rate` is outside [0, 1).

    References
    ----------
    Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010), Stacked denoising autoencoders, section 3.3
    ("masking noise").

    Examples
    --------
    >>> import nnx
    >>> network = nnx.Network([nnx.MaskNoise(0.25), nnx.Dense(2, activation="tanh"), nnx.Dense(6)])
    >>> network.build(6).output_shape
    (6,)
    """

    record = LayerRecord(
        names=("mask_noise",),
        cases=(Case({"rate": 0.4}), Case({"rate": 0.4}, "in inference", {"training": False})),
        keras=Counterpart("Identity"),  # its Dropout also scales
        onnx=Counterpart("Identity"),
        elementwise=True,
    )
    _factor = 1.0
