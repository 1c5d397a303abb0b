"""Clip gradients before an update, and search them for values that are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import BLOCK_SUMS, FOURS, FUNCTIONS, SUMS, THREADS, Elementwise, Flat, Raw
from nnx.ops.sums import sum_of_squares


class Gradients(Operations):
    """Clipping and the search for values that are not finite in the plain form."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """g = g · min(1, limit / ‖g‖₂), where ‖g‖₂ is the norm of all given buffers together.

        ‖g‖ = t ‖g / t‖, where t is the largest |g|, or the limit if that is larger. So no square overflows.
        """
        xp = self.xp
        top = limit
        for g in gradients:
            top = xp.maximum(xp.max(xp.abs(g)), top) if g.size else top
        squares = sum(xp.sum(xp.square(g / top)) for g in gradients)
        factor = 1.0 / xp.maximum(xp.sqrt(squares) * (top / limit), 1.0)
        for g in gradients:
            g *= factor

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """Clip each gradient: g = min(max(g, −limit), limit)."""
        gradients[...] = self.xp.clip(gradients, -limit, limit)
        return gradients

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Write `step` (from 1) into `fault`, if it is still 0 and the loss or a gradient is not finite."""
        xp = self.xp
        finite = xp.all(xp.isfinite(value)) & xp.all(xp.isfinite(gradients))
        fault[...] = xp.where(finite | (fault != 0), fault, step)
        return fault


class GradientsNumPy(Gradients):
    """Clipping and the search for values that are not finite in place."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """Sum the squares in one pass; write only if the norm exceeds the limit."""
        norm = math.sqrt(sum(self._sum_of_squares(g) for g in gradients))
        if not math.isfinite(norm):
            super().clip_by_norm(gradients, limit)
        elif norm > limit:
            for g in gradients:
                g *= limit / norm

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """Clip each gradient in place."""
        return np.clip(gradients, -limit, limit, out=gradients)

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Check the sum of squares; check each gradient only if the sum is not finite."""
        if fault[0] == 0 and not (
            math.isfinite(value[0])
            and (math.isfinite(self._sum_of_squares(gradients)) or np.isfinite(gradients).all())
        ):
            fault[0] = step
        return fault

    def _sum_of_squares(self, flat: Array) -> float:
        return sum_of_squares(flat)


# Several threads may write, but all write the same step.
FLAG_NONFINITE = Flat(
    "flag_nonfinite",
    inputs="T gradient",
    outputs="",
    more="const T* value, long long* fault, long long step",
    body="if (!(isfinite(gradient) && isfinite(value[0])) && fault[0] == 0) fault[0] = step;",
)


CLIP = Elementwise("clip", "T x, T limit", "T y", "y = nnx_clip(x, -limit, limit);", FUNCTIONS)
BLOCKS = 512  # the first two kernels below store so many numbers for each buffer, one a block
REDUCED = FOURS + BLOCK_SUMS + SUMS + f"#define NNX_BLOCKS {BLOCKS}\n"

# The largest |g| of each block, at least `least`; NaN if there is a NaN.
GREATEST = Raw(
    "greatest",
    "nnx_greatest",
    REDUCED
    + """
extern "C" __global__ void nnx_greatest(const T* g, T* tops, long long size, T least, long long first) {
    __shared__ T shared[NNX_THREADS];
    T top = least;
    T fault = T(0);  // NaN after a value that is not finite: a maximum would pass over a NaN
    NNX_PARTS_OF(size, part) {
        const nnx_four four = nnx_read(g, part, size, nnx_aligned(g));
        NNX_FOUR(k) {
            const T value = fabs(four.at[k]);
            top = value > top ? value : top;
            fault += value - value;
        }
    }
    top = nnx_block_max(top, shared);
    fault = nnx_block_sum(fault, shared);
    for (long long i = blockIdx.x; threadIdx.x == 0 && i < NNX_BLOCKS; i += gridDim.x)
        tops[first + i] = i == blockIdx.x ? top + fault : least;
}
""",
)
# Σ (g / t)² of each block, with the largest t of all blocks.
SQUARES = Raw(
    "squares",
    "nnx_squares",
    REDUCED
    + """
extern "C" __global__ void nnx_squares(
        const T* g, const T* tops, T* sums, long long size, long long count, long long first) {
    __shared__ T shared[NNX_THREADS];
    T top = T(0), fault = T(0);
    for (long long i = threadIdx.x; i < count; i += blockDim.x) {
        top = tops[i] > top ? tops[i] : top;
        fault += tops[i] - tops[i];
    }
    top = nnx_block_max(top, shared) + nnx_block_sum(fault, shared);
    nnx_sum squares;
    NNX_PARTS_OF(size, part) {
        const nnx_four four = nnx_read(g, part, size, nnx_aligned(g));
        NNX_FOUR(k) squares.add(four.at[k] / top * (four.at[k] / top));
    }
    const T sum = nnx_block_sum(squares.total(), shared);
    for (long long i = blockIdx.x; threadIdx.x == 0 && i < NNX_BLOCKS; i += gridDim.x)
        sums[first + i] = i == blockIdx.x ? sum : T(0);
}
""",
)
# g = g · min(1, limit / ‖g‖), with the norm from both.
SCALE = Raw(
    "scale",
    "nnx_scale",
    REDUCED
    + """
extern "C" __global__ void nnx_scale(
        T* g, const T* tops, const T* sums, long long size, long long count, T limit) {
    __shared__ T shared[NNX_THREADS];
    T top = T(0), sum = T(0), fault = T(0);
    for (long long i = threadIdx.x; i < count; i += blockDim.x) {
        top = tops[i] > top ? tops[i] : top;
        sum += sums[i];
        fault += tops[i] - tops[i];
    }
    top = nnx_block_max(top, shared);
    sum = nnx_block_sum(sum, shared) + nnx_block_sum(fault, shared);
    T norm = sqrt(sum) * (top / limit);
    norm = norm < T(1) ? T(1) : norm;
    NNX_PARTS_OF(size, part) {
        nnx_four four = nnx_read(g, part, size, nnx_aligned(g));
        NNX_FOUR(k) four.at[k] /= norm;
        nnx_store(g, part, size, nnx_aligned(g), four);
    }
}
""",
)


class GradientsCuPy(OnGpu, Gradients):
    """Clipping and the search for values that are not finite on the GPU."""

    def clip_by_norm(self, gradients: Sequence[Array], limit: float) -> None:
        """Use three launches for each buffer, without temporary arrays."""
        gradients = [g for g in gradients if g.size]
        if not gradients:
            return
        dtype, count = gradients[0].dtype, BLOCKS * len(gradients)
        bound = dtype.type(limit)
        with self._hold:
            tops, sums = (self._buffer(f"clip {name}", count, dtype) for name in ("tops", "sums"))
            grid, block = (BLOCKS,), (THREADS,)
            for number, g in enumerate(gradients):
                GREATEST.of(dtype)(grid, block, (g, tops, g.size, bound, number * BLOCKS))
            for number, g in enumerate(gradients):
                SQUARES.of(dtype)(grid, block, (g, tops, sums, g.size, count, number * BLOCKS))
            for g in gradients:
                SCALE.of(dtype)(grid, block, (g, tops, sums, g.size, count, bound))

    def clip_by_value(self, gradients: Array, limit: float) -> Array:
        """Clip each gradient in place."""
        with self._hold:
            CLIP.kernel(gradients, limit, gradients)
        return gradients

    def flag_nonfinite(self, value: Array, gradients: Array, fault: Array, step: int) -> Array:
        """Search with one launch; the host reads `fault` at the end of the epoch."""
        with self._hold:
            FLAG_NONFINITE.launch((gradients if gradients.size else value,), value, fault, step)
        return fault
