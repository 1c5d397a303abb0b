"""Take rows of a data set by their numbers: out[i] = source[indices[i]]."""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import Elementwise
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


GATHER_BYTES = Elementwise(
    "gather_bytes",
    inputs="raw uint8 source, int64 row, int64 columns, T divisor",
    outputs="T x",
    body="x = T(source[row * columns + i % columns]) / divisor;",
)
# the same for the rows of the next step, which becomes the current one
GATHER_STEP = Elementwise(
    "gather_step",
    inputs="raw T source, raw int64 order, int64 width, int64 first, int64 columns",
    outputs="T x, raw int64 counter",
    body=f"x = source[order[{NEXT} + i / columns] * columns + i % columns];"
    " if (i == 0) counter[1] = counter[0];",
)
GATHER_STEP_BYTES = Elementwise(
    "gather_step_bytes",
    inputs="raw uint8 source, raw int64 order, int64 width, int64 first, int64 columns, T divisor",
    outputs="T x, raw int64 counter",
    body=f"x = T(source[order[{NEXT} + i / columns] * columns + i % columns]) / divisor;"
    " if (i == 0) counter[1] = counter[0];",
)


class GatherCuPy(OnGpu, Gather):
    """Take rows on the GPU."""

    def gather(self, source: Array, indices: Number, out: Array, divisor: float = 1.0) -> Array:
        """Take rows with one launch."""
        with self._hold:
            if isinstance(indices, PerStep):
                self._gather_step(source, indices, out, divisor)
            elif source.dtype == out.dtype:
                self.xp.take(source, indices, axis=0, out=out)
            else:
                columns = math.prod(source.shape[1:])
                GATHER_BYTES.kernel(source, indices[:, None], columns, divisor, out.reshape(-1, columns))
        return out

    def _gather_step(self, source: Array, order: PerStep, out: Array, divisor: float) -> None:
        columns = math.prod(source.shape[1:])
        common = (source, order.values, order.width, order.first, columns)
        flat = out.reshape(-1, columns)
        if source.dtype == out.dtype:
            GATHER_STEP.kernel(*common, flat, order.counter)
        else:
            GATHER_STEP_BYTES.kernel(*common, divisor, flat, order.counter)
