"""The rectifier with a trained slope for each column (PReLU)."""

from __future__ import annotations

import numpy as np

from nnx.ops.base import Array, OnGpu
from nnx.ops.cuda import COLUMNS, Elementwise, Raw
from nnx.ops.sums import Sums, SumsNumPy


class PReLU(Sums):
    """The plain form. x has shape (rows, columns), and alpha a slope for each column."""

    def prelu_forward(self, x: Array, alpha: Array, y: Array) -> Array:
        """y = x where x > 0, else α x."""
        y[...] = self.xp.where(x > 0, x, alpha * x)
        return y

    def prelu_backward(self, dy: Array, x: Array, alpha: Array, dalpha: Array, dx: Array | None) -> Array:
        """dα = Σ_rows dy min(x, 0); dx = dy where x > 0, else α dy."""
        dalpha[...] = self._column_sums(dy * self.xp.minimum(x, 0.0))
        if dx is not None:
            dx[...] = self.xp.where(x > 0, dy, alpha * dy)
        return dalpha


class PReLUNumPy(SumsNumPy, PReLU):
    """In place, without arrays for intermediate results."""

    def prelu_forward(self, x: Array, alpha: Array, y: Array) -> Array:
        """y = max(x, 0) + α min(x, 0)."""
        left = np.minimum(x, 0.0, out=self._scratch(x.shape, x.dtype))
        left *= alpha
        np.maximum(x, 0.0, out=y)
        return np.add(y, left, out=y)

    def prelu_backward(self, dy: Array, x: Array, alpha: Array, dalpha: Array, dx: Array | None) -> Array:
        """Sum by BLAS, and multiply dy by an array of slopes."""
        some = np.minimum(x, 0.0, out=self._scratch(x.shape, x.dtype))
        some *= dy
        dalpha[...] = self._column_sums(some)
        if dx is not None:
            some[...] = alpha
            np.copyto(some, 1.0, where=np.greater(x, 0.0, out=self._scratch(x.shape, bool)))
            np.multiply(dy, some, out=dx)
        return dalpha


FORWARD = Elementwise("prelu", "T x, T alpha", "T y", "y = x > T(0) ? x : alpha * x;")
BACKWARD = Elementwise("prelu_backward", "T dy, T x, T alpha", "T dx", "dx = x > T(0) ? dy : alpha * dy;")
SLOPES = Raw(
    "prelu_slopes",
    "nnx_prelu_slopes",
    COLUMNS
    + """
extern "C" __global__ void NNX_OVER_COLUMNS nnx_prelu_slopes(
        const T* dy, const T* x, T* dalpha, T* parts, unsigned int* done, long long rows, long long columns) {
    const bool fours = columns % 4 == 0 && nnx_aligned(dy) && nnx_aligned(x) && nnx_aligned(dalpha);
    T* const sums[1] = {dalpha};
    nnx_columns(
        [=](long long row, long long part, nnx_four* found) {
            const nnx_four slopes = nnx_read(dy + row * columns, part, columns, fours);
            const nnx_four inputs = nnx_read(x + row * columns, part, columns, fours);
            NNX_FOUR(k)
                found[0].at[k] = slopes.at[k] * (inputs.at[k] > T(0) ? T(0) : inputs.at[k]);
        },
        sums, parts, done, rows, columns, fours);
}
""",
)


class PReLUCuPy(OnGpu, PReLU):
    """On the GPU, without arrays for intermediate results."""

    def prelu_forward(self, x: Array, alpha: Array, y: Array) -> Array:
        """Use one launch."""
        with self._hold:
            FORWARD.kernel(x, alpha, y)
        return y

    def prelu_backward(self, dy: Array, x: Array, alpha: Array, dalpha: Array, dx: Array | None) -> Array:
        """Use two launches, or one without dx."""
        xp = self.xp
        with self._hold:
            SLOPES.over_columns(self, x, (xp.ascontiguousarray(dy), xp.ascontiguousarray(x), dalpha))
            if dx is not None:
                BACKWARD.kernel(dy, x, alpha, dx)
        return dalpha
