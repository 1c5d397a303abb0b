"""Maximum and average pooling of images and sequences."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError
from nnx.layers.images import ImageLayer, Sizes, case, images, known_padding, sizes, windows, written
from nnx.layers.workspace import Workspace
from nnx.ops.pooling import position_type
from nnx.ops.windows import Windows
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["AveragePool1D", "AveragePool2D", "MaxPool1D", "MaxPool2D"]


class Maximum(ImageLayer):
    """Base of the layers that take a maximum."""

    replays = True

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y and, if there may be a backward pass, the position of each maximum."""
        found = self._windows()
        shape = (x.shape[0], *found.outputs, x.shape[-1])
        position = None if workspace.dx is None else self._position(workspace, shape)
        workspace.backend.max_pool_forward(images(x), y.reshape(shape), found, position)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Give each dy to the position of its maximum."""
        if dx is None:
            return
        found = self._windows()
        shape = (dy.shape[0], *found.outputs, dy.shape[-1])
        position = self._position(workspace, shape)
        workspace.backend.max_pool_backward(dy.reshape(shape), position, images(dx), found)

    def _position(self, workspace: Workspace, shape: tuple[int, ...]) -> Array:
        return workspace.buffer("position", shape, position_type(self._windows()))

    def _windows(self) -> Windows:
        raise NotImplementedError


class _Pool(ImageLayer):
    """Base of the layers with windows."""

    def __init__(self, pool_size: Sizes = 2, strides: Sizes | None = None, padding: str = "valid") -> None:
        super().__init__()
        name = type(self).__name__
        self.pool_size = sizes(f"{name}: pool_size", pool_size, self.axes)
        self.strides = self.pool_size if strides is None else sizes(f"{name}: strides", strides, self.axes)
        self.padding = known_padding(f"{name}: padding", padding)

    def _after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        try:
            found = windows(input_shape, self.pool_size, self.strides, self.padding)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{self!r} on rows of shape {input_shape}, channels last: {error}"
            ) from error
        return found.outputs[-self.axes :]

    def _windows(self) -> Windows:
        assert self.input_shape is not None
        return windows(self.input_shape, self.pool_size, self.strides, self.padding)

    def config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "pool_size": list(self.pool_size), "strides": list(self.strides), "padding": self.padding
        }  # fmt: skip

    def __repr__(self) -> str:
        text = written(self.pool_size)
        if self.strides != self.pool_size:
            text += f", strides={written(self.strides)}"
        if self.padding != "valid":
            text += f", padding={self.padding!r}"
        return f"{self.name or type(self).__name__}({text})"


def _cases_2d() -> tuple[Case, ...]:
    return (
        case("on images", (4, 6, 2)),
        case("with a rest", (5, 7, 2), pool_size=(2, 3)),
        case("with overlapping windows", (5, 6, 2), pool_size=3, strides=(1, 2)),
        case("with gaps", (6, 7, 2), pool_size=(1, 2), strides=3),
        case("with padding", (5, 3, 2), pool_size=2, padding="same"),
        case("with padding and overlapping windows", (4, 5, 1), pool_size=3, strides=2, padding="same"),
        Case({"pool_size": 2}, "on one image", {"inputs": (4, 4, 3), "rows": 1}),
    )


def _cases_1d() -> tuple[Case, ...]:
    return (
        case("on sequences", (6, 2)),
        case("with overlapping windows", (7, 2), pool_size=3, strides=2),
        case("with gaps", (7, 2), pool_size=2, strides=3),
        case("with padding", (5, 2), pool_size=3, padding="same"),
    )


def _in_keras(name: str) -> Counterpart:
    """Return the layer of Keras with the same arguments."""
    return Counterpart(name, {one: one for one in ("pool_size", "strides", "padding")})


class MaxPool2D(_Pool, Maximum):
    """The maximum of each window of an image: y[p, q, c] = max x[i, j, c] over the window (p, q).

    Backward: the position of the maximum gets dy; dx is the sum over all windows that hold it. If a window
    holds its maximum more than once, the first position gets dy, from left to right and from top to bottom.
    If a window holds a NaN, its maximum is NaN. Padding is never the maximum. An input of shape (rows,
    height, width, channels) gives an output of shape (rows, height', width', channels).

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of a window.
    strides : int or (int, int), optional
        Distance between windows; by default `pool_size`, so that windows touch and do not overlap.
    padding : {"valid", "same"}
        ``"valid"``: windows lie inside the image, and height' = ⌊(height − pool_size) / strides⌋ + 1.
        ``"same"``: windows reach over the edges, and height' = ⌈height / strides⌉. If padding cannot be
        divided in two equal parts, there is one more below and on the right, as in Keras.

    Raises
    ------
    ConfigurationError
        If an argument is invalid, rows do not have three axes, or the image is smaller than a window.

    Notes
    -----
    In training, the layer stores the position of each maximum in its window, one byte for each number of y.

    References
    ----------
    Scherer, Müller and Behnke (2010), Evaluation of pooling operations in convolutional architectures for
    object recognition.

    Examples
    --------
    >>> import nnx
    >>> nnx.MaxPool2D().build((28, 28, 8)).output_shape
    (14, 14, 8)
    >>> nnx.MaxPool2D(3, strides=2, padding="same").build((7, 7, 8)).output_shape
    (4, 4, 8)
    """

    record = LayerRecord(
        names=("max_pool2d",), cases=_cases_2d(), keras=_in_keras("MaxPooling2D"),
        onnx=Counterpart("MaxPool"),
    )  # fmt: skip


class MaxPool1D(_Pool, Maximum):
    """The maximum of each window of a sequence: y[p, c] = max x[i, c] over the window p.

    Backward: the first position of the maximum gets dy; dx is the sum over all windows that hold it. A window
    with a NaN gives NaN. An input of shape (rows, length, channels) gives an output of shape (rows, length',
    channels).

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        Distance between windows; by default `pool_size`.
    padding : {"valid", "same"}
        As for `MaxPool2D`.

    Raises
    ------
    ConfigurationError
        As for `MaxPool2D`; rows have two axes.

    References
    ----------
    Collobert et al. (2011), Natural language processing (almost) from scratch, section 3.3.2.
    """

    axes = 1
    record = LayerRecord(
        names=("max_pool1d",), cases=_cases_1d(), keras=_in_keras("MaxPooling1D"),
        onnx=Counterpart("MaxPool"),
    )  # fmt: skip


class _Average(_Pool):
    """Base of the layers that average windows."""

    replays = True

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y."""
        workspace.backend.average_pool_forward(images(x), images(y), self._windows())

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Divide each dy among the positions of its window."""
        if dx is not None:
            workspace.backend.average_pool_backward(images(dy), images(dx), self._windows())


class AveragePool2D(_Average):
    """The mean of each window of an image: y[p, q, c] = Σ x[i, j, c] / n over the window (p, q).

    n is the number of positions in the window. Padding is not counted, as in Keras. Backward: each position
    of a window gets dy / n; dx is the sum over all windows that hold it. An input of shape (rows, height,
    width, channels) gives an output of shape (rows, height', width', channels).

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of a window.
    strides : int or (int, int), optional
        Distance between windows; by default `pool_size`.
    padding : {"valid", "same"}
        As for `MaxPool2D`.

    Raises
    ------
    ConfigurationError
        As for `MaxPool2D`.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition, section
    II.B, without its weights.

    Examples
    --------
    >>> import nnx
    >>> import numpy as np
    >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> nnx.AveragePool2D(2, padding="same").forward(image)[0, :, :, 0].tolist()
    [[2.0, 3.5], [6.5, 8.0]]
    """

    record = LayerRecord(
        names=("average_pool2d",), cases=_cases_2d(), keras=_in_keras("AveragePooling2D"),
        onnx=Counterpart("AveragePool"),
    )  # fmt: skip


class AveragePool1D(_Average):
    """The mean of each window of a sequence: y[p, c] = Σ x[i, c] / n over the window p.

    n is the number of positions in the window, without padding. Backward: each position of a window gets
    dy / n; dx is the sum over all windows that hold it. An input of shape (rows, length, channels) gives an
    output of shape (rows, length', channels).

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        Distance between windows; by default `pool_size`.
    padding : {"valid", "same"}
        As for `MaxPool2D`.

    Raises
    ------
    ConfigurationError
        As for `MaxPool2D`; rows have two axes.

    References
    ----------
    As for `AveragePool2D`.
    """

    axes = 1
    record = LayerRecord(
        names=("average_pool1d",), cases=_cases_1d(), keras=_in_keras("AveragePooling1D"),
        onnx=Counterpart("AveragePool"),
    )  # fmt: skip
