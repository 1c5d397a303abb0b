"""The average over all positions of an image: y = Σ x[i] / n, dx[i] = dy / n."""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.base import Array, OnGpu
from nnx.ops.cuda import Elementwise
from nnx.ops.sums import BLOCK, Sums, SumsNumPy


class GlobalAverage(Sums):
    """The average in the plain form."""

    def global_average_forward(self, x: Array, y: Array) -> Array:
        """y = Σ x / positions, for x of shape (rows, positions, channels).

        Many positions are summed in blocks of about √positions, so rounding errors grow like √positions.
        """
        positions = x.shape[1]
        block = max(BLOCK, math.isqrt(positions))
        y[...] = self._position_sums(x[:, :block])
        for first in range(block, positions, block):
            y += self._position_sums(x[:, first : first + block])
        y /= positions
        return y

    def _position_sums(self, x: Array) -> Array:
        return self.xp.sum(x, axis=1)

    def global_average_backward(self, dy: Array, dx: Array) -> Array:
        """dx = dy / positions at each position."""
        dx[...] = dy[:, None, :] / dx.shape[1]
        return dx


class GlobalAverageNumPy(SumsNumPy, GlobalAverage):
    """The average with the sums of BLAS (`benchmarks/operations.py`)."""

    def _position_sums(self, x: Array) -> Array:
        """Sum by BLAS, as the product with ones."""
        return np.matmul(self._ones(x.shape[1], x.dtype), x)


GLOBAL_AVERAGE = Elementwise(
    "global_average_forward",
    inputs="raw T x, uint32 positions, uint32 channels",
    outputs="T y",
    body="""
const long long first = i / channels * positions * channels + i % channels;
T sum = T(0), some = T(0);  // of all positions, and of up to 128 of them: rounding grows as slowly
for (unsigned int place = 0; place < positions; ++place) {
    some += x[first + (long long)place * channels];
    if (place % 128 == 127) { sum += some; some = T(0); }
}
y = (sum + some) / T(positions)""",
)


GLOBAL_AVERAGE_BACKWARD = Elementwise(
    "global_average_backward", inputs="T dy, T positions", outputs="T dx", body="dx = dy / positions"
)


class GlobalAverageCuPy(OnGpu, GlobalAverage):
    """The average on the GPU."""

    def global_average_forward(self, x: Array, y: Array) -> Array:
        """Let a thread sum the positions of one channel of an image."""
        with self._hold:
            GLOBAL_AVERAGE.kernel(x.reshape(-1), x.shape[1], x.shape[2], y.reshape(-1))
        return y

    def global_average_backward(self, dy: Array, dx: Array) -> Array:
        """Divide with one launch."""
        with self._hold:
            GLOBAL_AVERAGE_BACKWARD.kernel(dy[:, None, :], dx.shape[1], dx)
        return dx
