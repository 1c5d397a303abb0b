"""Reference for task 15: the backward pass of a convolution."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"convolution_backward": ("dx", "dW", "db")}


def convolution_backward(dy, x, W, stride, padding):
    """Return the gradients of a convolution."""
    k = len(W)
    sides = (padding, padding)
    images = np.pad(x, ((0, 0), sides, sides, (0, 0)))
    dW = np.zeros(W.shape)
    dimages = np.zeros(images.shape)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            top, left = stride * i, stride * j
            slope = dy[:, i, j]
            window = images[:, top : top + k, left : left + k]
            dW += np.tensordot(window, slope, (0, 0))
            dimages[:, top : top + k, left : left + k] += np.tensordot(slope, W, (1, 3))
    db = dy.sum(axis=(0, 1, 2))
    dx = dimages[:, padding : padding + x.shape[1], padding : padding + x.shape[2]]
    return dx, dW, db


def _case(name, rng, image, k, filters, stride, padding):
    height, width = ((side + 2 * padding - k) // stride + 1 for side in image[1:3])
    dy = rng.normal(size=(image[0], height, width, filters)).round(1)
    x, W = rng.normal(size=image).round(1), rng.normal(size=(k, k, image[3], filters)).round(1)
    return Case(
        "convolution_backward", name, {"dy": dy, "x": x, "W": W, "stride": stride, "padding": padding}
    )


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
        _case("stride 2 and padding 1", rng, (3, 6, 5, 2), 3, 4, 2, 1),
        _case("stride 3 and padding 2", rng, (1, 5, 7, 3), 4, 2, 3, 2),
    ]


_PAD = "np.pad(x, ((0, 0), sides, sides, (0, 0)))"
_DW = "np.tensordot(window, slope, (0, 0))"
_DX = "np.tensordot(slope, W, (1, 3))"
_CUT = "dimages[:, padding : padding + x.shape[1], padding : padding + x.shape[2]]"

MISTAKES = [
    # dW
    Mistake("dW += np", "dW = np", "dW has only the last window: add what all windows give."),
    Mistake("return dx, dW,", "return dx, dW / len(x),",
            "dW is divided by the number of images: it is a sum, and dy has the mean in it."),
    Mistake("return dx, dW,", "return dx, dW / (dy.shape[1] * dy.shape[2]),",
            "dW is averaged over the places: the slopes of all places are added."),
    Mistake("return dx, dW,", "return dx, dW / (dy.size / dy.shape[3]),",
            "dW is a mean over images and places: it is a sum."),
    Mistake("return dx, dW,", "return dx, -dW,",
            "dW has the wrong sign: the minus comes with the step of the optimizer."),
    Mistake("return dx, dW,", "return dx, dW[::-1, ::-1],",
            "dW is flipped: dW[0, 0] belongs to the upper left pixel of the window."),
    Mistake("return dx, dW,", "return dx, dW.transpose(1, 0, 2, 3),",
            "Rows and columns of dW have changed places: its first axis goes down, as that of the window "
            "does."),
    Mistake("return dx, dW,", "return dx, dW.swapaxes(2, 3),",
            "Channels and filters of dW have changed places: it has the shape of W."),
    Mistake(_DW, 'np.einsum("muvc,mf->uvcf", window[:1], slope[:1])',
            "dW has only the first image: add all images."),
    Mistake(_DW, 'np.einsum("muvc,mf->uvcf", window, slope.sum(axis=1, keepdims=True) + 0 * slope)',
            "dW adds the slopes of all filters: each filter has its own."),
    Mistake(_DW, 'np.einsum("muvc,mf->uvcf", window.sum(axis=3, keepdims=True) + 0 * window, slope)',
            "dW adds the channels: each channel has its own weights."),
    Mistake(_DW, 'np.einsum("muvc,mf->uvcf", window.sum(axis=0, keepdims=True) + 0 * window, slope)',
            "dW multiplies the sum over the images by the sum of their slopes: multiply image by image, "
            "then add."),
    Mistake(_DW, 'np.einsum("muvc,mf->uvcf", window[:, ::-1, ::-1], slope)',
            "dW is flipped: dW[0, 0] belongs to the upper left pixel of the window."),
    Mistake("window = images[:, top : top + k, left : left + k]", "window = images[:, i : i + k, j : j + k]",
            "The windows have no stride in dW: that of place i begins at row s i, and the column likewise."),
    Mistake("window = images[:, top : top + k, left : left + k]",
            "window = images[:, left : left + k, top : top + k]",
            "Rows and columns of the window have changed places in dW: i is the row, j the column."),
    Mistake(_PAD + "\n", "np.pad(x, ((0, 0), (padding, 0), (padding, 0), (0, 0)))\n",
            "The padding is only above and on the left: it is on all four sides."),
    Mistake(_PAD, "np.pad(x, ((0, 0), sides, sides, (0, 0)), mode='edge')",
            "The padding repeats the border of the image in dW: it is zeros."),
    Mistake("images = " + _PAD, "images = np.pad(x, ((0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)))",
            "The padding is missing in dW above and on the left: it is on all four sides, as in the "
            "forward pass."),
    Mistake(_PAD, "x", "The padding is missing in dW: use x with zeros around it, as in the forward pass."),
    # db
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.mean(axis=(0, 1, 2))",
            "db is a mean: b is used in every image and at every place, so the slopes are added."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=(1, 2)).mean(axis=0)",
            "db is a mean over the images: add them."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=0).mean(axis=(0, 1))",
            "db is a mean over the places: add them."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=0)",
            "db is summed over the images only: add all places too, so that one number for each filter is "
            "left."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=(1, 2))",
            "db is summed over the places only: add all images too, so that one number for each filter is "
            "left."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=(0, 1))",
            "db is summed over images and rows, but not over columns: one number for each filter is left."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum()",
            "db is one sum for all filters: each filter has its own bias, so leave the last axis."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy[0].sum(axis=(0, 1))",
            "db has only the first image: add all images."),
    Mistake("dy.sum(axis=(0, 1, 2))", "dy.sum(axis=(1, 2, 3))",
            "db is summed over the wrong axes: the filters are the last axis, which is left."),
    # dx
    Mistake("left : left + k] += np", "left : left + k] = np",
            "dx has only the last window of each pixel: windows overlap, so a pixel adds up what all of "
            "them give."),
    Mistake(_CUT, "dimages", "dx still has the padding: cut it off, so that dx has the shape of x."),
    Mistake(_CUT, "dimages[:, : x.shape[1], : x.shape[2]]",
            "The padding is cut off on the wrong side of dx: there are P rows above the image, too."),
    Mistake(_CUT, "dimages[:, 2 * padding :, 2 * padding :]",
            "The padding is cut off on the wrong side of dx: there are P rows below the image, too."),
    Mistake(_CUT, "dimages[:, padding:-padding, padding:-padding]",
            "Without padding, dx is empty: a slice that ends at −0 has nothing."),
    Mistake("left : left + k] += " + _DX, "left : left + k] += " + _DX.replace("W,", "W[::-1, ::-1],"),
            "The kernel is flipped in dx: from window to pixels, W stays as in the forward pass."),
    Mistake(_DX, 'np.einsum("mf,vucf->muvc", slope, W)',
            "The kernel is transposed in dx: its first axis goes down, as that of the window does."),
    Mistake(_DX, 'np.einsum("mf,uvfc->muvc", slope, W)',
            "Channels and filters of W have changed places in dx: the sum is over the filters, its last "
            "axis."),
    Mistake(_DX, 'np.einsum("mf,uvcf->muvc", slope, W) / W.shape[3]',
            "The filters are averaged in dx: a pixel adds what all filters give."),
    Mistake(_DX, 'np.einsum("mf,uvcf->muvc", slope[:, :1], W[..., :1])',
            "dx has only the first filter: a pixel adds what all filters give."),
    Mistake(_DX, 'np.einsum("mf,uvcf->muvc", slope, W.sum(axis=2, keepdims=True) + 0 * W)',
            "dx adds the channels: each channel of x has its own slope."),
    Mistake(_DX, 'np.einsum("mf,uvcf->muvc", slope, W.mean(axis=2, keepdims=True) + 0 * W)',
            "dx averages the channels: each channel of x has its own slope."),
    Mistake(_DX, _DX + " / k**2",
            "dx is divided by the size of the window: a convolution adds, so nothing is divided."),
    Mistake(_DX, _DX + " / len(x)", "dx is divided by the number of images: each image has its own slope."),
    Mistake(_DX, 'np.einsum("mf,uvcf->muvc", slope.sum(axis=0, keepdims=True) + 0 * slope, W)',
            "dx adds the slopes of all images: each image has its own."),
    Mistake("dimages[:, top : top + k, left : left + k] +=", "dimages[:, i : i + k, j : j + k] +=",
            "The windows have no stride in dx: that of place i begins at row s i, and the column likewise."),
    Mistake("dimages[:, top : top + k, left : left + k] +=", "dimages[:, left : left + k, top : top + k] +=",
            "Rows and columns of the window have changed places in dx: i is the row, j the column."),
    Mistake(_DX, _DX + " * window",
            "dx is multiplied by the window: the factor of a pixel is its weight, not itself."),
    Mistake("return dx, dW, db", "return -dx, dW, db", "dx has the wrong sign."),
]  # fmt: skip
