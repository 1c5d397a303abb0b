"""Products and sums that layers with few formulas of their own are made of; none needs temporary arrays."""

from __future__ import annotations

import math

from nnx.ops.base import Array, OnGpu
from nnx.ops.cuda import SUMS, Raw, power_of_two
from nnx.ops.normalization_cuda import COLUMNS
from nnx.ops.sums import BLOCK, Sums, SumsNumPy


class Reductions(Sums):
    """The plain form."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b, for two matrices or two stacks of as many matrices; out is C-contiguous."""
        self.xp.matmul(a, b, out=out)
        return out

    def axis_sums(self, x: Array, out: Array) -> Array:
        """out[g, c] = Σ_r x[g, r, c], of many numbers in blocks, as in `Sums`; both are C-contiguous."""
        xp, (groups, rows, columns) = self.xp, x.shape
        if rows <= BLOCK:
            xp.sum(x, axis=1, out=out)
            return out
        block = max(BLOCK, math.isqrt(rows))
        whole = rows - rows % block
        blocks = xp.sum(x[:, :whole].reshape(groups, -1, block, columns), axis=2)
        xp.sum(blocks, axis=1, out=out)
        if whole < rows:
            out += xp.sum(x[:, whole:], axis=1)
        return out


class ReductionsNumPy(SumsNumPy, Reductions):
    """The sums of columns by BLAS."""

    def axis_sums(self, x: Array, out: Array) -> Array:
        """Σ_r by BLAS if there is one group of rows."""
        if x.shape[0] == 1:
            out[0] = self._column_sums(x[0])
            return out
        return super().axis_sums(x, out)


# A block sums blockDim.x neighbouring columns of a group, blockDim.y rows at a time.
AXIS_SUMS = Raw(
    "axis_sums",
    "nnx_axis_sums",
    SUMS
    + COLUMNS
    + """
extern "C" __global__ void nnx_axis_sums(
        const T* x, T* out, long long groups, long long rows, long long columns) {
    __shared__ T shared[512];
    const long long tiles = (columns + blockDim.x - 1) / blockDim.x;
    for (long long tile = blockIdx.x; tile < groups * tiles; tile += gridDim.x) {
        const long long group = tile / tiles, column = tile % tiles * blockDim.x + threadIdx.x;
        const bool here = column < columns;
        nnx_sum sums;
        for (long long row = threadIdx.y; here && row < rows; row += blockDim.y)
            sums.add(x[(group * rows + row) * columns + column]);
        const T sum = nnx_columns(sums.total(), shared);
        if (here && threadIdx.y == 0) out[group * columns + column] = sum;
    }
}
""",
)


class ReductionsCuPy(OnGpu, Reductions):
    """Products by our own binding of cuBLAS, and sums by one launch: CuPy's need temporary memory."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """Use one launch."""
        with self._hold:
            return self._product(a, b, out) if out.ndim == 2 else self._stacked_product(a, b, out)

    def axis_sums(self, x: Array, out: Array) -> Array:
        """Use one launch."""
        groups, rows, columns = x.shape
        width = min(32, power_of_two(columns))
        blocks = min(groups * -(-columns // width), 65535)
        with self._hold:
            AXIS_SUMS.of(x.dtype)(
                (blocks,), (width, min(512 // width, power_of_two(rows))), (x, out, groups, rows, columns)
            )
        return out
