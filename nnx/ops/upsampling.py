"""Upsampling to the nearest: each position of an image becomes a · b copies.

    y[p, q] = x[⌊p / a⌋, ⌊q / b⌋],    dx[i, j] = Σ dy[p, q] over the copies of x[i, j]

Images have the shape (rows, height, width, channels); a and b follow from the shapes of x and y.
"""

from __future__ import annotations

import functools

import numpy as np

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import Elementwise


class Upsampling(Operations):
    """Upsampling in the plain form."""

    def upsample_forward(self, x: Array, y: Array) -> Array:
        """y[p, q] = x[⌊p / a⌋, ⌊q / b⌋]; a and b follow from the shapes."""
        _copies(y, x)[...] = x[:, :, None, :, None, :]
        return y

    def upsample_backward(self, dy: Array, dx: Array) -> Array:
        """dx[i, j] = Σ dy[p, q] over the copies of x[i, j]; each row of copies is summed separately."""
        dx[...] = self.xp.sum(self.xp.sum(_copies(dy, dx), axis=4), axis=2)
        return dx


def _copies(large: Array, small: Array) -> Array:
    """Return a view of the large image with the copies of each position on axes 2 and 4."""
    rows, height, width, channels = small.shape
    return large.reshape(rows, height, large.shape[1] // height, width, large.shape[2] // width, channels)


class UpsamplingNumPy(Upsampling):
    """Upsampling with fewer passes (`benchmarks/operations.py`)."""

    def upsample_forward(self, x: Array, y: Array) -> Array:
        """Take all copies by their numbers."""
        rows, channels = len(x), x.shape[3]
        np.take(
            x.reshape(rows, -1, channels), self._sources(x.shape[1:3], y.shape[1:3]), axis=1,
            out=y.reshape(rows, -1, channels), mode="clip",
        )  # fmt: skip
        return y

    def upsample_backward(self, dy: Array, dx: Array) -> Array:
        """Add one copy of all positions after the other."""
        copies = _copies(dy, dx)
        np.copyto(dx, copies[:, :, 0, :, 0])
        for number in range(1, copies.shape[2] * copies.shape[4]):
            row, column = divmod(number, copies.shape[4])
            np.add(dx, copies[:, :, row, :, column], out=dx)
        return dx

    @staticmethod
    @functools.lru_cache(64)
    def _sources(small: tuple[int, int], large: tuple[int, int]) -> Array:
        """Return the number of the position that each position of a larger image copies."""
        rows = np.arange(large[0]) * small[0] // large[0]
        columns = np.arange(large[1]) * small[1] // large[1]
        return (rows[:, None] * small[1] + columns).reshape(-1)


UPSAMPLE_BACKWARD = Elementwise(
    "upsample_backward",
    inputs="raw T dy, uint32 height, uint32 width, uint32 channels, uint32 down, uint32 across",
    outputs="T dx",
    body="""
const long long whole = (long long)height * width * channels, image = i / whole;
const unsigned int place = (unsigned int)(i % whole), channel = place % channels;
const unsigned int row = place / channels / width * down, column = place / channels % width * across;
T sum = T(0);
for (unsigned int a = 0; a < down; ++a) {
    T some = T(0);
    for (unsigned int b = 0; b < across; ++b)
        some += dy[((image * height * down + row + a) * width * across + column + b) * channels + channel];
    sum += some;
}
dx = sum""",
)


class UpsamplingCuPy(OnGpu, Upsampling):
    """Upsampling on the GPU."""

    def upsample_forward(self, x: Array, y: Array) -> Array:
        """Copy with one launch."""
        with self._hold:
            return super().upsample_forward(x, y)

    def upsample_backward(self, dy: Array, dx: Array) -> Array:
        """Let each position sum its copies."""
        _, height, width, channels = dx.shape
        with self._hold:
            UPSAMPLE_BACKWARD.kernel(
                dy.reshape(-1), height, width, channels, dy.shape[1] // height, dy.shape[2] // width,
                dx.reshape(-1),
            )  # fmt: skip
        return dx
