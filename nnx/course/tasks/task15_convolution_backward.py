"""Task 15: the backward pass of a convolution.

Task 14 gave y. The next layer gives dy, the derivative of the loss with respect to each number of y. The rule
is the same as for a dense layer. To get the derivative with respect to a number, find all numbers of y that
it changes. Multiply the derivative of each by the number's factor there, and add the products.

b[f] is added at every place (i, j) in every image m. The weight W[u, v, c, f] meets another pixel at each
place. With x̃, which is x with P rows and columns of zeros on each side, and the stride s:

    db[f] = Σ over m, i, j of  dy[m, i, j, f]
    dW[u, v, c, f] = Σ over m, i, j of  x̃[m, s i + u, s j + v, c] · dy[m, i, j, f]

A pixel lies in several windows, and each adds to its derivative. It is easiest to begin with zeros and to go
through the windows. The window at (i, j) adds to its pixels, for all u, v and c at once:

    dx̃[m, s i + u, s j + v, c] += Σ over f of  dy[m, i, j, f] · W[u, v, c, f]

At the end, cut off the padding: dx has the shape of x.

You need only loops over i and j. At one place, dy[:, i, j] has the shape (images, filters), and the window
has the shape (images, k, k, channels). `np.tensordot(a, b, ((1,), (3,)))` sums the products over axis 1 of a
and axis 3 of b. `np.einsum` or products after `reshape` do it too.
"""

import numpy as np


def convolution_backward(dy, x, W, stride, padding):
    """Return the gradients of a convolution.

    Parameters
    ----------
    dy : array (images, height of y, width of y, filters)
    x : array (images, height, width, channels)
        The input of the forward pass.
    W : array (k, k, channels, filters)
    stride : int, at least 1
    padding : int, at least 0

    Returns
    -------
    dx : array of the shape of x
    dW : array of the shape of W
    db : array (filters,)
    """
    raise NotImplementedError("write convolution_backward")


def _forward(x, W, b, stride, padding):
    """Return the output of a convolution, as in task 14."""
    sides, k = (padding, padding), len(W)
    padded = np.pad(x, ((0, 0), sides, sides, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("mijcuv,uvcf->mijf", windows, W) + b


def test_shapes():
    """A gradient has the shape of what it belongs to."""
    x, W = np.ones((2, 6, 5, 3)), np.ones((3, 3, 3, 4))
    dx, dW, db = convolution_backward(np.ones((2, 3, 3, 4)), x, W, 2, 1)
    assert dW.shape == W.shape
    assert db.shape == (4,)
    assert dx.shape == x.shape


def test_pixel_adds_what_its_windows_give():
    """In 3 × 3 pixels there are 4 windows of 2 × 2. A corner lies in one of them, the middle in all four."""
    dx, dW, db = convolution_backward(
        np.ones((1, 2, 2, 1)), np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), 1, 0
    )
    np.testing.assert_allclose(dx.reshape(3, 3), [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    np.testing.assert_allclose(dW.reshape(2, 2), [[4.0, 4.0], [4.0, 4.0]])
    np.testing.assert_allclose(db, [4.0])


def test_pixel_without_a_window():
    """With a window of 2 × 2 and stride 2, the last of 5 rows is in no window, so its derivative is 0."""
    rng = np.random.default_rng(0)
    x, W, dy = rng.normal(size=(1, 5, 4, 1)), rng.normal(size=(2, 2, 1, 1)), rng.normal(size=(1, 2, 2, 1))
    dx = convolution_backward(dy, x, W, 2, 0)[0]
    assert not dx[:, 4].any()


def test_gradients_are_those_of_central_differences():
    """Move each number of W, b and x a little, and compare the slopes of L = Σ y · dy."""
    rng = np.random.default_rng(1)
    for stride, padding in ((1, 0), (2, 0), (1, 1), (2, 1)):
        x, W, b = rng.normal(size=(2, 5, 4, 2)), rng.normal(size=(3, 3, 2, 3)), rng.normal(size=3)
        dy = rng.normal(size=_forward(x, W, b, stride, padding).shape)
        gradients = convolution_backward(dy, x, W, stride, padding)
        for value, derived in zip((x, W, b), gradients, strict=True):
            for place in np.ndindex(value.shape):
                before = value[place]
                value[place] = before + 1e-6
                above = (_forward(x, W, b, stride, padding) * dy).sum()
                value[place] = before - 1e-6
                below = (_forward(x, W, b, stride, padding) * dy).sum()
                value[place] = before
                np.testing.assert_allclose(derived[place], (above - below) / 2e-6, atol=1e-6)
