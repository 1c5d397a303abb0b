"""Pooling over all positions of an image or a sequence: one number for each channel."""

from __future__ import annotations

from nnx.backends import Array
from nnx.layers.images import ImageLayer, case, positions, windows
from nnx.layers.pooling import Maximum
from nnx.layers.workspace import Workspace
from nnx.ops.windows import Windows
from nnx.records import Counterpart, LayerRecord

__all__ = ["GlobalAveragePool1D", "GlobalAveragePool2D", "GlobalMaxPool1D", "GlobalMaxPool2D"]


class _Global(ImageLayer):
    """Base of the layers that have one number for each channel."""

    def _after(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return ()


class _GlobalAverage(_Global):
    """Base of the global averages."""

    replays = True

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y."""
        workspace.backend.global_average_forward(positions(x), y)

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Divide dy among all positions."""
        if dx is not None:
            workspace.backend.global_average_backward(dy, positions(dx))


class GlobalAveragePool2D(_GlobalAverage):
    """The mean of each channel of an image: y[c] = Σ x[i, j, c] / (height · width).

    Backward: dx[i, j, c] = dy[c] / (height · width). An input of shape (rows, height, width, channels) gives
    an output of shape (rows, channels).

    Raises
    ------
    ConfigurationError
        If rows do not have three axes.

    References
    ----------
    Lin, Chen and Yan (2014), Network in network, section 3.2.

    Examples
    --------
    >>> import nnx
    >>> nnx.GlobalAveragePool2D().build((7, 7, 64)).output_shape
    (64,)
    """

    record = LayerRecord(
        names=("global_average_pool2d",),
        cases=(case("on images", (3, 4, 2)), case("on one position", (1, 1, 2))),
        keras=Counterpart("GlobalAveragePooling2D"),
        onnx=Counterpart("GlobalAveragePool"),
    )


class GlobalAveragePool1D(_GlobalAverage):
    """The mean of each channel of a sequence: y[c] = Σ x[i, c] / length.

    Backward: dx[i, c] = dy[c] / length. An input of shape (rows, length, channels) gives an output of shape
    (rows, channels).

    Raises
    ------
    ConfigurationError
        If rows do not have two axes.

    References
    ----------
    As for `GlobalAveragePool2D`.
    """

    axes = 1
    record = LayerRecord(
        names=("global_average_pool1d",),
        cases=(case("on sequences", (5, 2)), case("on long sequences", (300, 1))),
        keras=Counterpart("GlobalAveragePooling1D"),
        onnx=Counterpart("GlobalAveragePool"),
    )


class _GlobalMaximum(_Global, Maximum):
    """Base of the global maxima: one window holds all positions."""

    def _windows(self) -> Windows:
        assert self.input_shape is not None
        whole = self.input_shape[:-1]
        return windows(self.input_shape, whole, whole, "valid")


class GlobalMaxPool2D(_GlobalMaximum):
    """The maximum of each channel of an image: y[c] = max x[i, j, c].

    Backward: the first position of the maximum gets dy. A channel with a NaN gives NaN. An input of shape
    (rows, height, width, channels) gives an output of shape (rows, channels).

    Raises
    ------
    ConfigurationError
        If rows do not have three axes.

    References
    ----------
    Oquab, Bottou, Laptev and Sivic (2015), Is object localization for free?, section 3.

    Examples
    --------
    >>> import nnx
    >>> nnx.GlobalMaxPool2D().build((7, 7, 64)).output_shape
    (64,)
    """

    record = LayerRecord(
        names=("global_max_pool2d",),
        cases=(case("on images", (3, 4, 2)), case("on large images", (17, 16, 1))),
        keras=Counterpart("GlobalMaxPooling2D"),
        onnx=Counterpart("GlobalMaxPool"),
    )


class GlobalMaxPool1D(_GlobalMaximum):
    """The maximum of each channel of a sequence: y[c] = max x[i, c].

    Backward: the first position of the maximum gets dy. A channel with a NaN gives NaN. An input of shape
    (rows, length, channels) gives an output of shape (rows, channels).

    Raises
    ------
    ConfigurationError
        If rows do not have two axes.

    References
    ----------
    Collobert et al. (2011), Natural language processing (almost) from scratch, section 3.3.2.
    """

    axes = 1
    record = LayerRecord(
        names=("global_max_pool1d",),
        cases=(case("on sequences", (5, 2)),),
        keras=Counterpart("GlobalMaxPooling1D"),
        onnx=Counterpart("GlobalMaxPool"),
    )
