"""Reference for task 14: the forward pass of a convolution."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"convolution_forward": ("y",)}


def convolution_forward(x, W, b, stride, padding):
    """Return the output of a convolution."""
    k, filters = len(W), W.shape[3]
    sides = (padding, padding)
    images = np.pad(x, ((0, 0), sides, sides, (0, 0)))
    height = (images.shape[1] - k) // stride + 1
    width = (images.shape[2] - k) // stride + 1
    y = np.zeros((len(x), height, width, filters))
    for i in range(height):
        for j in range(width):
            top, left = stride * i, stride * j
            window = images[:, top : top + k, left : left + k, :]
            y[:, i, j] = np.tensordot(window, W, 3)
    return y + b


def _case(name, rng, image, k, filters, stride, padding):
    x = rng.normal(size=image).round(1)
    W, b = rng.normal(size=(k, k, image[3], filters)).round(1), rng.normal(size=filters).round(1)
    return Case("convolution_forward", name, {"x": x, "W": W, "b": b, "stride": stride, "padding": padding})


def cases(rng):
    """Return the calls that are checked."""
    return [
        _case("one channel", rng, (1, 3, 4, 1), 2, 1, 1, 0),
        _case("stride 2, one channel", rng, (1, 5, 4, 1), 2, 1, 2, 0),
        _case("padding 1, one channel", rng, (1, 2, 3, 1), 2, 1, 1, 1),
        _case("channels and filters", rng, (2, 5, 4, 3), 3, 4, 1, 0),
        _case("as many filters as channels", rng, (2, 4, 4, 3), 3, 3, 1, 0),
        _case("stride 2", rng, (2, 6, 7, 2), 3, 3, 2, 0),
        _case("padding 1", rng, (2, 4, 5, 2), 3, 3, 1, 1),
        _case("stride 2 and padding 1", rng, (2, 6, 5, 2), 3, 3, 2, 1),
        _case("stride 3 and padding 2", rng, (1, 5, 7, 3), 4, 2, 3, 2),
    ]


_PAD = "np.pad(x, ((0, 0), sides, sides, (0, 0)))"
_SUM = "np.tensordot(window, W, 3)"

MISTAKES = [
    # the padding
    Mistake(_PAD, "x", "The padding is missing: add zeros around each image first."),
    Mistake(_PAD, "np.pad(x, ((0, 0), (padding, 0), (padding, 0), (0, 0)))",
            "The padding is only above and on the left, or the size of y counts it once: it is on all four "
            "sides."),
    Mistake(_PAD, "np.pad(x, ((0, 0), (0, padding), (0, padding), (0, 0)))",
            "The padding is only below and on the right: it is on all four sides."),
    Mistake(_PAD, "np.pad(x, padding)",
            "The padding is on wrong axes: only height and width, axes 1 and 2, get some."),
    Mistake(_PAD, "np.pad(x, ((0, 0), sides, (0, 0), (0, 0)))",
            "The padding is only above and below, not left and right."),
    Mistake(_PAD, "np.pad(x, ((0, 0), (0, 0), sides, (0, 0)))",
            "The padding is only left and right, not above and below."),
    Mistake(_PAD, "np.pad(x, ((0, 0), (0, 0), sides, sides))",
            "The padding is on wrong axes: only height and width, axes 1 and 2, get some."),
    Mistake(_PAD, "np.pad(x, ((0, 0), sides, sides, (0, 0)), mode='edge')",
            "The padding repeats the border of the image: it is zeros."),
    Mistake(_PAD, "np.pad(x, ((0, 0), sides, sides, (0, 0)), mode='reflect')",
            "The padding mirrors the image: it is zeros."),
    Mistake("sides = (padding, padding)", "sides = (2 * padding, 2 * padding)",
            "The padding is twice as wide as asked."),
    # the size
    Mistake("(images.shape[1] - k) // stride + 1\n    width = (images.shape[2] - k) // stride + 1",
            "(x.shape[1] - k) // stride + 1\n    width = (x.shape[2] - k) // stride + 1",
            "The size of y is that without padding: both sides get it, so add 2 P to the height and the "
            "width."),
    Mistake("(images.shape[1] - k) // stride + 1\n    width = (images.shape[2] - k) // stride + 1",
            "(images.shape[1] - k) // stride\n    width = (images.shape[2] - k) // stride",
            "The last windows are missing: with k = height there is one window, not none. So + 1 is "
            "missing in the size."),
    Mistake("(images.shape[1] - k) // stride + 1\n    width = (images.shape[2] - k) // stride + 1",
            "images.shape[1] - k + 1\n    width = images.shape[2] - k + 1\n"
            "    height, width = height // stride, width // stride",
            "The size of y is wrong with a stride: first divide by the stride, then add 1."),
    Mistake("height = (images.shape[1] - k) // stride + 1\n    width = (images.shape[2] - k) // stride + 1",
            "width = (images.shape[1] - k) // stride + 1\n    height = (images.shape[2] - k) // stride + 1",
            "Height and width of y have changed places: axis 1 of x is the height."),
    Mistake("(images.shape[1] - k) // stride + 1\n    width = (images.shape[2] - k) // stride + 1",
            "images.shape[1] - k + 1\n    width = images.shape[2] - k + 1",
            "y has too many windows with a stride: divide by it, and round down."),
    Mistake("y = np.zeros((len(x), height, width, filters))",
            "y = np.zeros((len(x), height, width, filters), dtype=int)",
            "y has integers, so what is behind the decimal point is lost."),
    Mistake("(images.shape[1] - k) // stride + 1\n    width = (images.shape[2] - k) // stride + 1",
            "-(-(images.shape[1] - k) // stride) + 1\n    width = -(-(images.shape[2] - k) // stride) + 1",
            "y has too many windows with a stride: divide by it, and round down."),
    # the windows
    Mistake("top, left = stride * i, stride * j", "top, left = i, j",
            "The stride is not used: the window for place i begins at row s i, and the column likewise."),
    Mistake("top, left = stride * i, stride * j", "top, left = k * i, k * j",
            "The windows lie side by side, k apart: the distance is the stride."),
    Mistake("top, left = stride * i, stride * j", "top, left = stride * j, stride * i",
            "Rows and columns of the window have changed places: i is the row, j the column."),
    Mistake("top, left = stride * i, stride * j", "top, left = stride * i, j",
            "The columns of the window have no stride."),
    Mistake("top, left = stride * i, stride * j", "top, left = i, stride * j",
            "The rows of the window have no stride."),
    Mistake("window = images[:, top", "window = images[:1, top",
            "All images get the output of the first image."),
    # the sum over a window
    Mistake(_SUM, _SUM.replace("W,", "W[::-1, ::-1],"),
            "The kernel is flipped, as in mathematics: here W[0, 0] meets the upper left pixel of the "
            "window."),
    Mistake(_SUM, _SUM.replace("W,", "W[::-1],"),
            "The kernel is flipped up and down: W[0, 0] meets the upper left pixel."),
    Mistake(_SUM, _SUM.replace("W,", "W[:, ::-1],"),
            "The kernel is flipped left and right: W[0, 0] meets the upper left pixel."),
    Mistake(_SUM, 'np.einsum("muvc,vucf->mf", window, W)',
            "The kernel is transposed: its first axis goes down, as that of the window does."),
    Mistake(_SUM, 'np.einsum("muvc,uvfc->mf", window, W)',
            "Channels and filters of W have changed places: the third axis is the channels, the last the "
            "filters."),
    Mistake(_SUM, "(window[..., None] * W).mean(axis=(1, 2, 3))",
            "The products of a window are averaged: they are added."),
    Mistake(_SUM, _SUM + " / k**2", "The sum is divided by the size of the window: the products are added."),
    Mistake(_SUM, "(window[..., None] * W).max(axis=(1, 2, 3))",
            "y has the largest product of each window: add the products."),
    Mistake(_SUM, 'np.einsum("muv,uvf->mf", window[..., 0], W[:, :, 0])',
            "Only the first channel is used: the sum is over all channels."),
    Mistake(_SUM, 'np.einsum("muvc,uvcf->mf", window, W) / window.shape[3]',
            "The channels are averaged: add them."),
    Mistake(_SUM, 'np.einsum("muvc,uvcf->mf", window, W[..., :1])',
            "All channels of y have the first filter: each has its own."),
    Mistake(_SUM, 'np.einsum("muvc,uvcf->m", window, W)[:, None]',
            "The filters are added: each filter gives its own channel of y."),
    Mistake(_SUM, 'window.transpose(0, 3, 1, 2).reshape(len(x), -1) @ W.reshape(-1, filters)',
            "Window and W are put into rows in different orders: both need rows, columns, channels."),
    Mistake(_SUM, "window.reshape(len(x), -1) @ W.reshape(filters, -1).T",
            "W is put into another order: reshape(-1, filters) keeps its last axis, the filters."),
    Mistake(_SUM, "window.reshape(len(x), -1) @ W.transpose(2, 0, 1, 3).reshape(-1, filters)",
            "Window and W are put into rows in different orders: both need rows, columns, channels."),
    # the bias
    Mistake("return y + b", "return y",
            "b is missing: each filter has its own, which is added once for each window."),
    Mistake(_SUM, 'np.einsum("muvcf->mf", window[..., None] * W + b)',
            "b is added to each product: add it once, to the sum of a window."),
    Mistake("return y + b", "return y + b[0]", "All filters have the first bias: each has its own."),
    Mistake("return y + b", "return y + b.sum()", "All biases are added to each filter: each has its own."),
    Mistake("return y + b", "return y - b", "b is subtracted: it is added."),
    Mistake("return y + b", "return np.maximum(y + b, 0)",
            "y has ReLU: return the convolution without an activation."),
]  # fmt: skip
