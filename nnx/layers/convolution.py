"""Convolutions of sequences and images, and the transposed convolution of images."""

from __future__ import annotations

import functools
from typing import Any

from nnx.initializers import Initializer
from nnx.layers.convolution_base import Convolution
from nnx.layers.images import Sizes
from nnx.layers.workspace import Workspace
from nnx.ops.windows import Windows, transposed_windows
from nnx.parameters import Shapes
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Conv1D", "Conv2D", "Conv2DTranspose"]


def _case(note: str, inputs: tuple[int, ...], **arguments: Any) -> Case:
    rows = {"rows": 1} if note == "on one row" else {"rows": 3}
    return Case({"filters": 4, "kernel_size": 3} | arguments, note, {"inputs": inputs} | rows)


def _in_keras(name: str, **more: str) -> Counterpart:
    """Return the layer of Keras with the same arguments."""
    same = {one: one for one in ("filters", "kernel_size", "strides", "padding", "use_bias")}
    return Counterpart(name, same | {"dilation_rate": "dilation"} | more)


class _InGroups(Convolution):
    """Base of the convolutions that may have groups."""

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid", *,
        dilation: Sizes = 1, groups: int = 1, use_bias: bool = True, activation: str | None = None,
        initializer: str | dict[str, Any] | Initializer = "glorot_uniform", seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, dilation, groups, use_bias, activation, initializer, seed
        )

    def _arguments(self) -> dict[str, Any]:
        return super()._arguments() | {"groups": self.groups}


class Conv2D(_InGroups):
    """A convolution of images: each filter is applied to each window of the image.

    Forward, for strides s, dilation d and padding p:
    ``y[r, q, f] = b[f] + Σ_i,j,c x[r s + i d − p, q s + j d − p, c] W[i, j, c, f]``. Backward:
    ``dW[i, j, c, f] = Σ x[r s + i d − p, q s + j d − p, c] dy[r, q, f]`` over rows and positions,
    ``db = Σ dy``, and dx is the sum of dy W over all windows that read this number. An input of shape (rows,
    height, width, channels) gives an output of shape (rows, height', width', filters).

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the output.
    kernel_size : int or (int, int)
        Height and width of a window.
    strides : int or (int, int)
        Distance between windows.
    padding : {"valid", "same"}
        ``"valid"``: windows lie inside of the image, and height' = ⌊(height − reach) / stride⌋ + 1 with
        reach = (kernel − 1) · dilation + 1. ``"same"``: zeros around the image, and height' = ⌈height /
        stride⌉. If their number is odd, there is one more below and on the right, as in Keras.
    dilation : int or (int, int)
        Distance between the numbers of a window. Strides or dilation must be 1.
    groups : int
        Channels and filters are divided into so many groups; a filter reads the channels of its group. With
        one group for each channel, the convolution is called depthwise.
    use_bias : bool
        False leaves out b.
    activation : str, optional
        Shorthand: in a network, ``Conv2D(8, 3, activation="relu")`` means ``Conv2D(8, 3), ReLU()``.
    initializer : str or callable
        Initializer of W: a name from `nnx.initializers.NAMES`, or an initializer. b starts at zero.
    seed : int, optional
        Seed for this layer's weights, also in a network; None uses the network's seed.

    Attributes
    ----------
    W : array of shape (kernel height, kernel width, channels / groups, filters)
    b : array of shape (filters,)
        Only if ``use_bias``.
    dW, db : array
        Gradients, overwritten by every backward pass.

    Raises
    ------
    ConfigurationError
        If an argument is invalid, the groups do not divide filters and channels, rows do not have three axes,
        or the image is smaller than a window.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition, section
    II; Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning.

    Examples
    --------
    >>> import nnx
    >>> layers = [nnx.Conv2D(8, 3, activation="relu"), nnx.Flatten(), nnx.Dense(10)]
    >>> network = nnx.Network(layers, seed=0).build((28, 28, 1))
    >>> network[0].output_shape, network[0].W.shape
    ((26, 26, 8), (3, 3, 1, 8))
    """

    record = LayerRecord(
        names=("conv2d",),
        cases=(
            _case("", (5, 6, 2)),
            _case("on one row", (5, 6, 2)),
            _case("with strides", (6, 7, 2), strides=(2, 3)),
            _case("with same padding", (5, 6, 2), padding="same", kernel_size=(2, 3)),
            _case("with same padding and strides", (6, 5, 2), padding="same", strides=2),
            _case("with dilation", (7, 6, 2), dilation=(2, 1)),
            _case("with same padding and dilation", (5, 6, 2), padding="same", dilation=2),
            _case("with a 1 × 1 kernel", (3, 4, 3), kernel_size=1),
            _case("with a 1 × 1 kernel and strides", (5, 4, 3), kernel_size=1, strides=2),
            _case("in groups", (5, 5, 4), groups=2, padding="same"),
            _case("depthwise", (5, 5, 4), groups=4, strides=2),
            _case("depthwise, two filters for each channel", (4, 4, 2), groups=2, padding="same"),
            _case("without bias", (4, 5, 2), use_bias=False),
            _case("with tanh", (4, 5, 2), activation="tanh", padding="same"),
            _case("with gelu", (4, 5, 2), activation="gelu", groups=2),
        ),
        keras=_in_keras("Conv2D", groups="groups"),
        onnx=Counterpart("Conv", arrays=("W", "b")),
    )


class Conv1D(_InGroups):
    """A convolution of sequences: `Conv2D` for images of height 1.

    Forward, for stride s, dilation d and padding p:
    ``y[r, f] = b[f] + Σ_i,c x[r s + i d − p, c] W[i, c, f]``. Backward:
    ``dW[i, c, f] = Σ x[r s + i d − p, c] dy[r, f]`` over rows and positions, ``db = Σ dy``, and dx is the sum
    of dy W over all windows that read this number. An input of shape (rows, length, channels) gives an output
    of shape (rows, length', filters).

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the output.
    kernel_size, strides, dilation : int
    padding, groups, use_bias, activation, initializer, seed
        As for `Conv2D`.

    Attributes
    ----------
    W : array of shape (kernel size, channels / groups, filters)
    b : array of shape (filters,)
        Only if ``use_bias``.
    dW, db : array
        Gradients, overwritten by every backward pass.

    Raises
    ------
    ConfigurationError
        As for `Conv2D`; rows have two axes.

    References
    ----------
    Waibel, Hanazawa, Hinton, Shikano and Lang (1989), Phoneme recognition using time-delay neural networks.

    Examples
    --------
    >>> import nnx
    >>> nnx.Network([nnx.Conv1D(8, 5, padding="same")]).build((100, 3)).output_shape
    (100, 8)
    """

    axes = 1
    record = LayerRecord(
        names=("conv1d",),
        cases=(
            _case("", (6, 2)),
            _case("with same padding and strides", (7, 2), padding="same", strides=2, kernel_size=4),
            _case("with dilation", (8, 2), dilation=2),
            _case("depthwise, with same padding", (6, 4), groups=4, padding="same"),
            _case("without bias, with tanh", (6, 2), use_bias=False, activation="tanh"),
        ),
        keras=_in_keras("Conv1D", groups="groups"),
        onnx=Counterpart("Conv", arrays=("W", "b")),
    )


class Conv2DTranspose(Convolution):
    """The transposed convolution of images: it computes what a `Conv2D` computes for dx in its backward pass.

    Forward, for strides s, dilation d and padding p:
    ``y[u, v, f] = b[f] + Σ x[r, q, c] W[i, j, f, c]`` over all i, j, c, r, q with r s + i d − p = u and
    q s + j d − p = v. Backward: dx is the convolution of dy with W; ``db = Σ dy``;
    ``dW[i, j, f, c] = Σ dy[r s + i d − p, q s + j d − p, f] x[r, q, c]`` over rows and positions. An input of
    shape (rows, height, width, channels) gives an output of shape (rows, height', width', filters).

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the output.
    kernel_size, strides, dilation : int or (int, int)
        As for `Conv2D`. Strides make the image larger.
    padding : {"valid", "same"}
        ``"same"``: height' = height · stride. ``"valid"``: height' = height · stride + max(reach − stride,
        0), with reach = (kernel − 1) · dilation + 1.
    use_bias, activation, initializer, seed
        As for `Conv2D`.

    Attributes
    ----------
    W : array of shape (kernel height, kernel width, filters, channels)
        In Keras's order: that of a `Conv2D` from `filters` channels to `channels` filters.
    b : array of shape (filters,)
        Only if ``use_bias``.
    dW, db : array
        Gradients, overwritten by every backward pass.

    Raises
    ------
    ConfigurationError
        If an argument is invalid, or rows do not have three axes.

    References
    ----------
    Zeiler, Krishnan, Taylor and Fergus (2010), Deconvolutional networks; Dumoulin and Visin (2016), A guide
    to convolution arithmetic for deep learning, section 4.

    Examples
    --------
    >>> import nnx
    >>> nnx.Network([nnx.Conv2DTranspose(8, 3, strides=2, padding="same")]).build((7, 7, 16)).output_shape
    (14, 14, 8)
    """

    record = LayerRecord(
        names=("conv2d_transpose",),
        cases=(
            _case("", (3, 4, 2)),
            _case("on one row", (3, 4, 2)),
            _case("with strides", (3, 2, 2), strides=(2, 3)),
            _case("with strides larger than the kernel", (3, 2, 2), strides=3, kernel_size=2),
            _case("with same padding and strides", (3, 2, 2), padding="same", strides=2),
            _case("with same padding and dilation", (4, 3, 2), padding="same", dilation=2),
            _case("with a 1 × 1 kernel", (3, 2, 3), kernel_size=1),
            _case("without bias", (3, 3, 2), use_bias=False),
            _case("with tanh", (3, 3, 2), activation="tanh", strides=2, padding="same"),
        ),
        keras=_in_keras("Conv2DTranspose"),
        onnx=Counterpart("ConvTranspose", arrays=("W", "b")),
    )

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid", *,
        dilation: Sizes = 1, use_bias: bool = True, activation: str | None = None,
        initializer: str | dict[str, Any] | Initializer = "glorot_uniform", seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, dilation, 1, use_bias, activation, initializer, seed
        )

    _windows_of = staticmethod(functools.lru_cache(1024)(transposed_windows))

    def _image_after(self, found: Windows) -> tuple[int, int]:
        """Return the size of the image whose convolution has the input's size."""
        return found.size

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of W and b."""
        assert self.inputs is not None
        return super().parameter_shapes() | {"W": (*self.kernel_size, self.filters, self.inputs)}

    def _forward(self, workspace: Workspace, **arguments: Any) -> None:
        workspace.backend.transposed_convolution_forward(
            **arguments, windows=self._windows(), buffer=workspace.scratch
        )

    def _backward(self, workspace: Workspace, **arguments: Any) -> None:
        workspace.backend.transposed_convolution_backward(
            **arguments, windows=self._windows(), buffer=workspace.scratch
        )
