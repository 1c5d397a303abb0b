"""Windows on an image: how many there are, and which padding they need, for convolution and pooling.

On one axis with `size` numbers, a window reads `kernel` numbers that are `dilation` apart. It reaches over

    reach = (kernel − 1) · dilation + 1

numbers. Windows begin `stride` numbers apart. "valid" has no padding:

    outputs = ⌊(size − reach) / stride⌋ + 1

"same" has as many windows as there are strides in the input. The padding is divided in two equal parts; if it
is odd, the end gets one number more, as in Keras and TensorFlow:

    outputs = ⌈size / stride⌉,  padding = max((outputs − 1) · stride + reach − size, 0)

An axis of rows of (length, channels) is treated as an image of height 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from nnx.errors import ConfigurationError

PADDINGS = ("valid", "same")

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The windows on an image; each attribute has a number for the height and one for the width.

    Attributes
    ----------
    size : (int, int)
        Height and width of the image, without padding.
    kernel, strides, dilation : (int, int)
        Numbers in a window, the distance between windows, the distance between numbers in a window.
    before, after : (int, int)
        Padding above and left of the image, and below and right of it.
    outputs : (int, int)
        Number of windows.
    """

    size: Pair
    kernel: Pair
    strides: Pair
    dilation: Pair
    before: Pair
    after: Pair
    outputs: Pair

    @property
    def padded(self) -> Pair:
        """Return height and width with padding."""
        return (
            self.size[0] + self.before[0] + self.after[0],
            self.size[1] + self.before[1] + self.after[1],
        )

    @property
    def is_padded(self) -> bool:
        """Return whether there is any padding."""
        return self.padded != self.size

    @property
    def pointwise(self) -> bool:
        """Return whether each window is one number, and the windows are the image: a 1 × 1 convolution."""
        return self.kernel == (1, 1) and self.strides == (1, 1)


def windows(size: Pair, kernel: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)) -> Windows:
    """Return the windows on an image of `size` (height, width).

    Parameters
    ----------
    size, kernel, strides, dilation : (int, int)
    padding : {"valid", "same"}

    Raises
    ------
    ConfigurationError
        If no window fits without padding.

    Examples
    --------
    >>> same = windows((28, 28), (3, 3), (2, 2), "same")
    >>> same.outputs, same.before, same.after
    ((14, 14), (0, 0), (1, 1))
    """
    axes = [_axis(*axis, padding) for axis in zip(size, kernel, strides, dilation, strict=True)]
    if min(count for count, _, _ in axes) < 1:
        spread = "" if dilation == (1, 1) else f" with dilation {dilation}"
        raise ConfigurationError(
            f"a window of {kernel}{spread} does not fit into {size} (height, width): take a smaller window "
            'or padding="same"'
        )
    outputs, before, after = zip(*axes, strict=True)
    return Windows(size, kernel, strides, dilation, before, after, outputs)


def transposed_windows(
    size: Pair, kernel: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)
) -> Windows:
    """Return the windows of the convolution that a transposed convolution reverses.

    The transposed convolution's input of `size` is the outputs of these windows. Its output is their image:
    of size · stride with "same", and of size · stride + max(reach − stride, 0) with "valid", as in Keras.

    Examples
    --------
    >>> transposed_windows((7, 7), (3, 3), (2, 2), "same").size
    (14, 14)
    """
    image = tuple(
        n * stride + (max((k - 1) * apart + 1 - stride, 0) if padding == "valid" else 0)
        for n, k, stride, apart in zip(size, kernel, strides, dilation, strict=True)
    )
    return windows((image[0], image[1]), kernel, strides, padding, dilation)


def _axis(size: int, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int, int]:
    """Return the number of windows on an axis, and the padding before and after it."""
    reach = (kernel - 1) * dilation + 1
    if padding == "valid":
        return (size - reach) // stride + 1, 0, 0
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + reach - size, 0)
    return outputs, total // 2, total - total // 2
