"""Task 14: the forward pass of a convolution.

A dense layer has a weight for each pixel, so it must learn the same stroke separately at each place of an
image. A convolution has weights only for a small window of k × k pixels, and uses the same weights at every
place. So it is a dense layer that is applied to every window.

An image has a height, a width and channels (red, green, blue; or the outputs of the layer before). There are
several filters. Each filter sees all channels of a window and gives one number for it. So the output has a
channel for each filter.

The stride s is the distance from one window to the next, in pixels. With padding P, there are P rows of
zeros above and below the image, and P columns of zeros on its left and right. Let x̃ be x with this padding.
For the image m, the place (i, j) of the output and the filter f:

    y[m, i, j, f] = b[f] + Σ over u, v, c of  x̃[m, s i + u, s j + v, c] · W[u, v, c, f]

u and v run from 0 to k − 1, and c over the channels. W is not flipped: W[0, 0] meets the upper left pixel of
the window. Only windows that fit completely are used. With the height H of x, and // for division without
remainder:

    height of y = (H + 2 P − k) // s + 1        the same for the width

You need only loops over i and j. `x[:, 2:5, 0:3]` is a window of 3 × 3 of all images at once. To multiply a
window by W and add up, use `np.tensordot(window, W, 3)`, `np.einsum`, or a product of matrices after
`reshape`.
"""

import numpy as np


def convolution_forward(x, W, b, stride, padding):
    """Return the output of a convolution.

    Parameters
    ----------
    x : array (images, height, width, channels)
    W : array (k, k, channels, filters)
    b : array (filters,)
    stride : int, at least 1
    padding : int, at least 0

    Returns
    -------
    y : array (images, height of y, width of y, filters)
    """
    raise NotImplementedError("write convolution_forward")


def test_differences_of_neighbours():
    """A window that subtracts the left pixel from the right one finds upright edges."""
    x = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).reshape(1, 3, 3, 1)
    W = np.array([[-1.0, 1.0], [0.0, 0.0]]).reshape(2, 2, 1, 1)
    y = convolution_forward(x, W, np.zeros(1), 1, 0)
    assert y.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(y.reshape(2, 2), [[0.0, 1.0], [0.0, 1.0]])


def test_window_of_one_pixel_is_a_dense_layer():
    """With k = 1, each pixel is a row of channels."""
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(2, 3, 4, 3)), rng.normal(size=(1, 1, 3, 2)), rng.normal(size=2)
    np.testing.assert_allclose(convolution_forward(x, W, b, 1, 0), x @ W[0, 0] + b)


def test_stride():
    """With stride 2, the output has every second row and column of the output with stride 1."""
    rng = np.random.default_rng(1)
    x, W, b = rng.normal(size=(2, 8, 7, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    np.testing.assert_allclose(
        convolution_forward(x, W, b, 2, 0), convolution_forward(x, W, b, 1, 0)[:, ::2, ::2]
    )


def test_padding_adds_zeros_on_each_side():
    """One pixel, a window of 3 × 3 and padding 1: only the middle of the window meets the pixel."""
    W = np.arange(1.0, 10.0).reshape(3, 3, 1, 1)
    y = convolution_forward(np.full((1, 1, 1, 1), 2.0), W, np.array([0.5]), 1, 1)
    np.testing.assert_allclose(y, np.full((1, 1, 1, 1), 10.5))


def test_sizes():
    """As many windows as fit: what is left over at the end has no window."""
    for height, k, stride, padding, expected in (
        (5, 3, 1, 0, 3),
        (6, 3, 2, 0, 2),
        (6, 3, 2, 1, 3),
        (4, 4, 3, 0, 1),
    ):
        y = convolution_forward(
            np.zeros((1, height, 9, 2)), np.zeros((k, k, 2, 3)), np.zeros(3), stride, padding
        )
        assert y.shape == (1, expected, (9 + 2 * padding - k) // stride + 1, 3)
