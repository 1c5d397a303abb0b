"""Upsampling of images and sequences to the nearest position."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.layers.images import ImageLayer, Sizes, case, images, sizes, written
from nnx.layers.workspace import Workspace
from nnx.records import Counterpart, LayerRecord

__all__ = ["UpSample1D", "UpSample2D"]


class _UpSample(ImageLayer):
    """Base of the upsampling layers."""

    replays = True

    def __init__(self, size: Sizes = 2) -> None:
        super().__init__()
        self.size = sizes(f"{type(self).__name__}: size", size, self.axes)

    def _after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(length * times for length, times in zip(input_shape[:-1], self.size, strict=True))

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Copy each position."""
        workspace.backend.upsample_forward(images(x), images(y))

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Add up the copies of each position."""
        if dx is not None:
            workspace.backend.upsample_backward(images(dy), images(dx))

    def config(self) -> dict[str, Any]:
        """Return the size."""
        return {"size": list(self.size)}

    def __repr__(self) -> str:
        return f"{self.name or type(self).__name__}({written(self.size)})"


class UpSample2D(_UpSample):
    """Repeat rows and columns of an image: y[p, q, c] = x[⌊p / a⌋, ⌊q / b⌋, c] for a size of (a, b).

    Backward: dx[i, j, c] is the sum of dy over the a · b copies of x[i, j, c]. An input of shape (rows,
    height, width, channels) gives an output of shape (rows, a · height, b · width, channels). This is
    ``UpSampling2D`` of Keras with ``interpolation="nearest"``.

    Parameters
    ----------
    size : int or (int, int)
        How often rows and columns are repeated.

    Raises
    ------
    ConfigurationError
        If the size is not positive, or rows do not have three axes.

    References
    ----------
    Odena, Dumoulin and Olah (2016), Deconvolution and checkerboard artifacts, on upsampling before a
    convolution.

    Examples
    --------
    >>> import nnx
    >>> nnx.UpSample2D((2, 3)).build((7, 7, 8)).output_shape
    (14, 21, 8)
    """

    record = LayerRecord(
        names=("upsample2d",),
        cases=(case("on images", (2, 3, 2)), case("of two sizes", (3, 2, 1), size=(3, 2))),
        keras=Counterpart("UpSampling2D", {"size": "size"}),
        onnx=Counterpart("Resize"),
    )


class UpSample1D(_UpSample):
    """Repeat the positions of a sequence: y[p, c] = x[⌊p / a⌋, c] for a size of a.

    Backward: dx[i, c] is the sum of dy over the copies of x[i, c]. An input of shape (rows, length, channels)
    gives an output of shape (rows, a · length, channels).

    Parameters
    ----------
    size : int
        How often each position is repeated.

    Raises
    ------
    ConfigurationError
        If the size is not positive, or rows do not have two axes.

    References
    ----------
    As for `UpSample2D`.
    """

    axes = 1
    record = LayerRecord(
        names=("upsample1d",),
        cases=(case("on sequences", (4, 2)), case("with three copies", (3, 2), size=3)),
        keras=Counterpart("UpSampling1D", {"size": "size"}),
        onnx=Counterpart("Resize"),
    )
