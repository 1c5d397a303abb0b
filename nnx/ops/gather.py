"""Take rows of a data set by their numbers: out[i] = source[indices[i]]."""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import FOURS, Elementwise, Raw
from nnx.ops.steps import NEXT, Number, PerStep


class Gather(Operations):
    """Take rows, in the plain form."""

    def gather(self, source: Array, indices: Number, out: Array, divisor: float = 1.0) -> Array:
        """out[i] = source[indices[i]]; bytes are converted to out's type and divided by `divisor`.

        On a GPU, `indices` may be a `PerStep`: the rows of the next step, which then becomes the current one.

        Rows have any shape. nnx draws the indices, so they are valid. The arrays are C-contiguous.
        """
        rows = self.xp.take(source, indices, axis=0)
        out[...] = rows if source.dtype == out.dtype else rows.astype(out.dtype) / divisor
        return out


class GatherNumPy(InPlace, Gather):
    """Take rows, written directly into the output."""

    def gather(self, source: Array, indices: Number, out: Array, divisor: float = 1.0) -> Array:
        """Use one pass, or two for bytes; ``"clip"``, because ``"raise"`` buffers the whole output first."""
        if source.dtype == out.dtype:
            return np.take(source, indices, axis=0, out=out, mode="clip")
        rows = np.take(source, indices, axis=0, out=self._scratch(out.shape, source.dtype), mode="clip")
        return np.divide(rows, divisor, out=out, dtype=out.dtype)


# x = the source's rows whose numbers begin at `order[NEXT]`; the next step becomes the current one
GATHER_SOURCE = f"""
extern "C" __global__ void nnx_gather(
        const {{stored}}* source, const long long* order, long long* counter, T* x, long long rows,
        long long columns, long long width, long long first, T divisor) {{{{
    const long long* numbers = order + ({NEXT});
    const long long size = rows * columns;
    const bool fours = columns % 4 == 0 && nnx_aligned(source) && nnx_aligned(x);
    NNX_PARTS_OF(size, part) {{{{
        const nnx_pack<{{stored}}> taken = nnx_read_at<{{stored}}>(
            [=](long long i) {{{{ return source + numbers[i / columns] * columns + i % columns; }}}},
            part, size, fours);
        nnx_four four;
        NNX_FOUR(k) four.at[k] = {{value}};
        nnx_store(x, part, size, fours, four);
    }}}}
    if (blockIdx.x == 0 && threadIdx.x == 0) counter[1] = counter[0];
}}}}
"""
GATHER_ROWS = Raw("gather_rows", "nnx_gather", FOURS + GATHER_SOURCE.format(stored="T", value="taken.at[k]"))
GATHER_BYTES = Raw(
    "gather_bytes",
    "nnx_gather",
    FOURS + GATHER_SOURCE.format(stored="unsigned char", value="T(taken.at[k]) / divisor"),
)
# the same for labels and other whole numbers, of any type
GATHER_LABELS = Elementwise(
    "gather_labels",
    inputs="raw T source, raw int64 order, int64 width, int64 first, int64 columns",
    outputs="T x, raw int64 counter",
    body=f"x = source[order[{NEXT} + i / columns] * columns + i % columns];"
    " if (i == 0) counter[1] = counter[0];",
)


class GatherCuPy(OnGpu, Gather):
    """Take rows on the GPU."""

    def gather(self, source: Array, indices: Number, out: Array, divisor: float = 1.0) -> Array:
        """Take rows with one launch."""
        with self._hold:
            flat = out.reshape(-1, math.prod(source.shape[1:]))
            if isinstance(indices, PerStep):
                self._gather_step(source, indices, flat, divisor)
            elif source.dtype == out.dtype:
                self.xp.take(source, indices, axis=0, out=out)
            else:
                unused = self._buffer("no steps", 2, "int64")
                order = PerStep(self.xp.ascontiguousarray(indices, dtype="int64"), unused, 0)
                self._gather_step(source, order, flat, divisor)
        return out

    def _gather_step(self, source: Array, order: PerStep, out: Array, divisor: float) -> None:
        if out.dtype.kind != "f":
            places = (order.values, order.width, order.first, out.shape[1])
            GATHER_LABELS.kernel(source, *places, out, order.counter)
            return
        kernel = GATHER_ROWS if source.dtype == out.dtype else GATHER_BYTES
        arrays = (source, order.values, order.counter, out)
        kernel.over_elements(out, arrays, order.width, order.first, out.dtype.type(divisor))
