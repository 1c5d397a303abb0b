"""Convolution of images, channels last, its reverse, and the gradients of both.

An image has the shape (height, width, channels), and W (kh, kw, channels / groups, filters). With strides s,
dilation d and padding p (`nnx.ops.windows`), filter f reads the channels c of its group:

    y[r, q, f] = Σ_i,j,c  x[r s + i d − p, q s + j d − p, c] W[i, j, c, f]

As in Keras and PyTorch, W is not flipped, so mathematics calls this a cross-correlation. Outside of the
image, x is 0. The gradients are

    dW[i, j, c, f] = Σ_rows,r,q  x[r s + i d − p, q s + j d − p, c] dy[r, q, f]
    dx[u, v, c]    = Σ  dy[r, q, f] W[i, j, c, f]

where the last sum is over all f, i, j, r, q with r s + i d − p = u and q s + j d − p = v. A transposed
convolution computes this sum in its forward pass, so it shares the code: its input is the dy of a
convolution, and its output is the dx.

The fast forms write the numbers of each window as a row of a matrix, the *columns* (im2col). Then y and dW
are matrix products, and dx is the sum of a product's numbers at the places they came from. The columns are
computed for a few images at a time, so that they stay in the cache, and again in the backward pass.

References: Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning; Chellapilla, Puri
and Simard (2006), High performance convolutional neural networks for document processing, section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nnx.ops.base import Array
from nnx.ops.bfloat16 import Bfloat16, Bfloat16NumPy
from nnx.ops.windows import Windows

Buffer = Callable[[str, tuple[int, ...], Any], Array]  # (name, shape, type) → memory for one call

COLUMNS = 2**19  # numbers in the columns of a few images: 2 MiB in float32


class Convolution(Bfloat16):
    """Convolution in the plain form: a sum over the positions in a window."""

    def convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, groups: int, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """y = f(x ∗ W + b); `kind` names f, which is `from_output`, and ``b=None`` is no bias.

        Shapes: x (rows, height, width, channels), W (kh, kw, channels / groups, filters), b (filters,),
        y (rows, *windows.outputs, filters). `buffer` gives memory whose contents are lost after the call.
        For products with bfloat16 factors, `factors` are float32 arrays for r(x) and r(W), which are written
        too and then used in place of x and W (`nnx.ops.bfloat16`).
        """
        x, W = self._rounded(x, W, factors)
        self._convolve(x, W, y, windows, groups, buffer)
        return self._activate(y, b, kind, alpha)

    def convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        groups: int, buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f'; dW and dx as above from dz, db = Σ dz over rows and positions.

        `dz` is an array for the activation's gradient, and may be `dy` itself. The identity needs neither
        `dz` nor `y`. ``db=None`` and ``dx=None`` skip these gradients. For products with bfloat16 factors, x
        and W are r(x) and r(W), and `rounded_dz` is a float32 array for r(dz).
        """
        dy = self._activate_backward(dy, db, kind, alpha, y, dz, rounded_dz)
        self._convolve_weights(x, dy, dW, windows, groups, buffer)
        if dx is not None:
            self._convolve_back(dy, W, dx, windows, groups, buffer)
        return dW

    def transposed_convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """y = f(z + b), where z is the dx of the convolution with `windows` for dy = x.

        Shapes: x (rows, *windows.outputs, channels), W (kh, kw, filters, channels), b (filters,),
        y (rows, *windows.size, filters). The other arguments are those of `convolution_forward`.
        """
        x, W = self._rounded(x, W, factors)
        self._convolve_back(x, W, y, windows, 1, buffer)
        return self._activate(y, b, kind, alpha)

    def transposed_convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f'; dx = dz ∗ W, and dW as above with x and dy exchanged.

        The other arguments are those of `convolution_backward`.
        """
        dy = self._activate_backward(dy, db, kind, alpha, y, dz, rounded_dz)
        self._convolve_weights(dy, x, dW, windows, 1, buffer)
        if dx is not None:
            self._convolve(dy, W, dx, windows, 1, buffer)
        return dW

    # ------------------------------------------------------------ the parts of the four

    def _activate(self, y: Array, b: Array | None, kind: str, alpha: float) -> Array:
        """y = f(y + b)."""
        if b is not None:
            y += b
        if kind != "identity":
            flat = y.reshape(-1, y.shape[-1])
            self.activation_forward(kind, flat, flat, alpha)
        return y

    def _rounded(self, x: Array, W: Array, factors: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return x and W, or what they are rounded to."""
        if not factors:
            return x, W
        return self.round_to_bfloat16(x, factors[0]), self.round_to_bfloat16(W, factors[1])

    def _activate_backward(
        self, dy: Array, db: Array | None, kind: str, alpha: float, y: Array | None, dz: Array | None,
        rounded: Array | None,
    ) -> Array:  # fmt: skip
        """dz = dy ∘ f', db = Σ dz; return dz, or what it is rounded to."""
        filters = dy.shape[-1]
        flat = dy.reshape(-1, filters)
        if kind != "identity":
            assert y is not None
            assert dz is not None
            flat = dz.reshape(-1, filters)
            self.activation_backward(kind, dy.reshape(-1, filters), None, y.reshape(-1, filters), flat, alpha)
        if db is not None:
            db[...] = self._column_sums(flat)
        dz = flat.reshape(dy.shape)
        return dz if rounded is None else self.round_to_bfloat16(dz, rounded)

    def _convolve(self, x: Array, W: Array, y: Array, windows: Windows, groups: int, buffer: Buffer) -> None:
        """y = x ∗ W."""
        padded = _padded(self.xp.zeros, x, windows)
        y[...] = 0.0
        for i, j, place in positions(windows):
            y += self._in_groups(padded[place], W[i, j], groups)

    def _convolve_back(
        self, dy: Array, W: Array, dx: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> None:
        """dx from dy = ∂L/∂y for y = x ∗ W."""
        filters = W.shape[-1] // groups
        rows, channels = dx.shape[0], dx.shape[-1]
        padded = self.xp.zeros((rows, *windows.padded, channels), dtype=dx.dtype)
        for i, j, place in positions(windows):
            turned = W[i, j].reshape(-1, groups, filters).transpose(2, 1, 0).reshape(filters, channels)
            padded[place] += self._in_groups(dy, turned, groups)
        dx[...] = padded[inside(windows)]

    def _convolve_weights(
        self, x: Array, dy: Array, dW: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> None:
        """dW from x and dy = ∂L/∂y for y = x ∗ W."""
        padded = _padded(self.xp.zeros, x, windows)
        channels, filters = dW.shape[2:]
        dys = dy.reshape(-1, groups, filters // groups).transpose(1, 0, 2)
        for i, j, place in positions(windows):
            read = padded[place].reshape(-1, groups, channels).transpose(1, 2, 0)
            dW[i, j] = self.xp.matmul(read, dys).transpose(1, 0, 2).reshape(channels, filters)

    def _in_groups(self, x: Array, w: Array, groups: int) -> Array:
        """Multiply the channels of each group with its columns of w (channels / groups, filters)."""
        if groups == 1:
            return self.xp.matmul(x, w)
        in_groups = x.reshape(*x.shape[:-1], groups, 1, -1)
        products = self.xp.matmul(in_groups, w.reshape(w.shape[0], groups, -1).transpose(1, 0, 2))
        return products.reshape(*x.shape[:-1], -1)


def positions(windows: Windows) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Yield (i, j, place): the numbers at (i, j) of all windows are at `place` in the padded images."""
    for i in range(windows.kernel[0]):
        for j in range(windows.kernel[1]):
            first = i * windows.dilation[0], j * windows.dilation[1]
            axes = zip(first, windows.outputs, windows.strides, strict=True)
            yield i, j, (slice(None), *(slice(at, at + (n - 1) * step + 1, step) for at, n, step in axes))


def inside(windows: Windows) -> tuple[slice, ...]:
    """Return where the images are in the padded images."""
    axes = zip(windows.before, windows.size, strict=True)
    return (slice(None), *(slice(before, before + size) for before, size in axes))


def _padded(zeros: Callable[..., Array], x: Array, windows: Windows) -> Array:
    """Return x with zeros around each image."""
    if not windows.is_padded:
        return x
    padded = zeros((x.shape[0], *windows.padded, x.shape[-1]), dtype=x.dtype)
    padded[inside(windows)] = x
    return padded


class ConvolutionNumPy(Bfloat16NumPy, Convolution):
    """Convolution by columns and matrix products, for a few images at a time.

    A convolution with a 1 × 1 kernel and strides 1 needs no columns. One with a group for each channel
    (depthwise) has no sum over channels: each position is an elementwise product.
    """

    def _convolve(self, x: Array, W: Array, y: Array, windows: Windows, groups: int, buffer: Buffer) -> None:
        """Write the products directly into y."""
        filters = W.shape[-1]
        if windows.pointwise and groups == 1:
            np.matmul(x.reshape(-1, x.shape[-1]), W[0, 0], out=y.reshape(-1, filters))
            return
        if W.shape[2] == 1 and groups > 1:
            self._convolve_channels(x, W, y, windows, buffer)
            return
        for images, group, columns in self._columns(x, windows, groups, buffer):
            part = _of_group(filters, groups, group)
            np.matmul(columns, _flat(W)[:, part], out=y[images].reshape(-1, filters)[:, part])

    def _convolve_back(
        self, dy: Array, W: Array, dx: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> None:
        """Compute the gradient of the columns as a product, and add it to the places they came from."""
        filters, channels = W.shape[-1], W.shape[2]
        if windows.pointwise and groups == 1:
            np.matmul(dy.reshape(-1, filters), W[0, 0].T, out=dx.reshape(-1, channels))
            return
        if channels == 1 and groups > 1:
            self._convolve_channels_back(dy, W, dx, windows, buffer)
            return
        columns = self._columns_buffer(dx, windows, groups, buffer)
        for images, padded in self._sums_of_images(dx, windows, len(columns), buffer):
            dcolumns = columns[: len(padded)]
            for group in range(groups):
                part = _of_group(filters, groups, group)
                dz = dy[images].reshape(-1, filters)[:, part]
                np.matmul(dz, _flat(W)[:, part].T, out=dcolumns.reshape(len(dz), -1))
                target = padded[..., _of_group(dx.shape[-1], groups, group)]
                for i, j, place in positions(windows):
                    target[place] += dcolumns[:, :, :, i, j]

    def _convolve_weights(
        self, x: Array, dy: Array, dW: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> None:
        """Add up the products of a few images at a time."""
        filters, channels = dW.shape[-1], dW.shape[2]
        if windows.pointwise and groups == 1:
            np.matmul(x.reshape(-1, channels).T, dy.reshape(-1, filters), out=dW[0, 0])
            return
        if channels == 1 and groups > 1:
            self._convolve_channels_weights(x, dy, dW, windows, buffer)
            return
        product = buffer("product", (dW.size // filters, filters // groups), dW.dtype)
        dW[...] = 0.0
        for images, group, columns in self._columns(x, windows, groups, buffer):
            part = _of_group(filters, groups, group)
            np.matmul(columns.T, dy[images].reshape(-1, filters)[:, part], out=product)
            _flat(dW)[:, part] += product

    # --------------------------------------------------------------- a few images at a time

    def _columns_buffer(self, x: Array, windows: Windows, groups: int, buffer: Buffer) -> Array:
        """Return memory for the columns of one group, for as many images as fit."""
        each = (*windows.outputs, *windows.kernel, x.shape[-1] // groups)
        return buffer("columns", (_count(x.shape[0], each), *each), x.dtype)

    def _columns(
        self, x: Array, windows: Windows, groups: int, buffer: Buffer
    ) -> Iterator[tuple[slice, int, Array]]:
        """Yield (images, group, columns): a row for each window of these images, in the order of W."""
        columns = self._columns_buffer(x, windows, groups, buffer)
        steps, apart = windows.strides, windows.dilation
        reach = tuple((k - 1) * d + 1 for k, d in zip(windows.kernel, apart, strict=True))
        for images, padded in self._images(x, windows, len(columns), buffer):
            seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
            seen = seen[:, :: steps[0], :: steps[1], :, :: apart[0], :: apart[1]].transpose(0, 1, 2, 4, 5, 3)
            some = columns[: len(padded)]
            for group in range(groups):
                some[...] = seen[..., _of_group(x.shape[-1], groups, group)]
                yield images, group, some.reshape(-1, some[0, 0, 0].size)

    def _images(
        self, x: Array, windows: Windows, count: int, buffer: Buffer
    ) -> Iterator[tuple[slice, Array]]:
        """Yield (images, these images with padding), `count` images at a time."""
        padded = None
        if windows.is_padded:
            padded = buffer("padded", (count, *windows.padded, x.shape[-1]), x.dtype)
            padded[...] = 0.0
        for first in range(0, x.shape[0], count):
            some = x[first : first + count]
            if padded is not None:
                padded[: len(some)][inside(windows)] = some
                some = padded[: len(some)]
            yield slice(first, first + len(some)), some

    def _sums_of_images(
        self, dx: Array, windows: Windows, count: int, buffer: Buffer
    ) -> Iterator[tuple[slice, Array]]:
        """Yield (images, zeros of the shape of these images with padding); then copy the images into dx."""
        padded = None
        if windows.is_padded:
            padded = buffer("padded", (count, *windows.padded, dx.shape[-1]), dx.dtype)
        for first in range(0, dx.shape[0], count):
            some = dx[first : first + count]
            sums = some if padded is None else padded[: len(some)]
            sums[...] = 0.0
            yield slice(first, first + len(some)), sums
            if padded is not None:
                some[...] = sums[inside(windows)]

    # ------------------------------------------------------------ a group for each channel

    def _convolve_channels(self, x: Array, W: Array, y: Array, windows: Windows, buffer: Buffer) -> None:
        count = _count(x.shape[0], y.shape[1:])
        weights = W.reshape(*W.shape[:2], x.shape[-1], -1)
        product = buffer("product", (count, *windows.outputs, *weights.shape[2:]), x.dtype)
        for images, padded in self._images(x, windows, count, buffer):
            some = y[images].reshape(len(padded), *product.shape[1:])
            some[...] = 0.0
            for i, j, place in positions(windows):
                some += np.multiply(padded[place][..., None], weights[i, j], out=product[: len(some)])

    def _convolve_channels_back(
        self, dy: Array, W: Array, dx: Array, windows: Windows, buffer: Buffer
    ) -> None:
        count, channels = _count(dy.shape[0], dy.shape[1:]), dx.shape[-1]
        weights = W.reshape(*W.shape[:2], channels, -1)
        product = buffer("product", (count, *windows.outputs, channels), dx.dtype)
        for images, padded in self._sums_of_images(dx, windows, count, buffer):
            some = dy[images].reshape(*product[: len(padded)].shape, -1)
            for i, j, place in positions(windows):
                for one in range(some.shape[-1]):
                    np.multiply(some[..., one], weights[i, j, :, one], out=product[: len(some)])
                    padded[place] += product[: len(some)]

    def _convolve_channels_weights(
        self, x: Array, dy: Array, dW: Array, windows: Windows, buffer: Buffer
    ) -> None:
        count, filters = _count(x.shape[0], dy.shape[1:]), dW.shape[-1]
        product = buffer("product", (count, *windows.outputs, x.shape[-1], filters // x.shape[-1]), x.dtype)
        dW[...] = 0.0
        for images, padded in self._images(x, windows, count, buffer):
            some = product[: len(padded)]
            dz = dy[images].reshape(some.shape)
            for i, j, place in positions(windows):
                np.multiply(padded[place][..., None], dz, out=some)
                dW[i, j, 0] += self._column_sums(some.reshape(-1, filters))


def _flat(W: Array) -> Array:
    """Return a view of W with one row for each number of a window."""
    return W.reshape(-1, W.shape[-1])


def _of_group(size: int, groups: int, group: int) -> slice:
    """Return which of `size` channels or filters a group has."""
    return slice(group * size // groups, (group + 1) * size // groups)


def _count(rows: int, each: tuple[int, ...]) -> int:
    """Return how many of the images are computed at a time, if one needs memory of the shape `each`."""
    size = 1
    for one in each:
        size *= one
    return max(1, min(rows, COLUMNS // size))
