"""Products and sums for layers without kernels of their own; on a GPU, they make no temporary arrays."""

from __future__ import annotations

import math

from nnx.ops.base import Array, OnGpu
from nnx.ops.cuda import COLUMNS, Raw
from nnx.ops.sums import BLOCK, Sums, SumsNumPy


class Reductions(Sums):
    """The plain form."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b, for two matrices or two stacks of as many matrices; out is C-contiguous."""
        self.xp.matmul(a, b, out=out)
        return out

    def axis_sums(self, x: Array, out: Array) -> Array:
        """out[g, c] = Σ_r x[g, r, c], of many numbers in blocks, as in `Sums`; out is C-contiguous."""
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


AXIS_SUMS = Raw(
    "axis_sums",
    "nnx_axis_sums",
    COLUMNS
    + """
extern "C" __global__ void NNX_OVER_COLUMNS nnx_axis_sums(
        const T* x, T* out, T* parts, unsigned int* done, long long rows, long long columns,
        long long groups) {
    const bool fours = columns % 4 == 0 && nnx_aligned(x) && nnx_aligned(out);
    for (long long group = blockIdx.z; group < groups; group += gridDim.z) {
        const T* own = x + group * rows * columns;
        T* const sums[1] = {out + group * columns};
        nnx_columns(
            [=](long long row, long long part, nnx_four* found) {
                found[0] = nnx_read(own + row * columns, part, columns, fours);
            },
            sums, parts, done, rows, columns, fours);
    }
}
""",
)


class ReductionsCuPy(OnGpu, Reductions):
    """Products by our own binding of cuBLAS, and sums by one launch: CuPy's need temporary memory."""

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        """Use one launch. cuBLAS would read past the end of factors that do not fit, where NumPy raises."""
        if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
            raise ValueError(f"matmul: factors of shapes {a.shape} and {b.shape} do not fit")
        if out.shape != (*a.shape[:-1], b.shape[-1]):
            raise ValueError(
                f"matmul: out must have the shape {(*a.shape[:-1], b.shape[-1])}, not {out.shape}"
            )
        with self._hold:
            return self._product(a, b, out) if out.ndim == 2 else self._stacked_product(a, b, out)

    def axis_sums(self, x: Array, out: Array) -> Array:
        """Use one launch."""
        groups = x.shape[0]
        with self._hold:
            x = self.xp.ascontiguousarray(x)  # a caller's dy may have rows with gaps between them
            AXIS_SUMS.over_columns(self, x[0], (x, out), groups, groups=groups)
        return out
