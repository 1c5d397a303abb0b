"""Compiled forms of convolution.py.

Each thread lays out the columns of a few rows of windows in memory that stays in the cache of its core, and
multiplies them (`columns_numba`). Bias, activation and gradients follow while the numbers are in the cache.
In the forward pass of a convolution, the threads share rows of windows. In all other passes they share whole
images, because neighbouring windows add to the same numbers. Each thread sums its own dW and db; these are
added in the order of the threads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from nnx.ops.activations_numba import IDENTITY
from nnx.ops.base import Array
from nnx.ops.base_numba import Compiled, inner, numbers, team, usual
from nnx.ops.columns_numba import (
    Shape,
    add_parts,
    add_weights,
    begin_back,
    clear,
    columns_times,
    copy_columns,
    finish,
    times_transposed,
)  # fmt: skip
from nnx.ops.convolution import Buffer, ConvolutionNumPy
from nnx.ops.dense_numba import BACKWARD, FORWARD
from nnx.ops.depthwise_numba import team_depthwise, team_depthwise_back
from nnx.ops.parts import TASK
from nnx.ops.share_numba import share
from nnx.ops.windows import Windows

COLUMNS = 2**15  # numbers in the columns of a thread: 128 KiB in float32, a part of a second-level cache
POSITIONS = 4096  # windows that are computed at a time, at most
LANES = 64  # the fewest numbers of a loop over filters; several positions are one row of such a loop
NARROW = 16  # a run of fewer numbers is not worth a copy


@inner
def convolve(
    order: Array,
    workspace: Array,
    gemm: int,
    x: Array,
    W: Array,
    bias: Array,
    y: Array,
    shape: Shape,
    kind: int,
) -> None:
    """y = f(x ∗ W + b) for the rows of windows in `order`; all but `workspace` are flat."""
    columns, numbers_in_row = workspace[0], shape.across * shape.filters
    for start in range(0, order.size, shape.some):
        first, rows = order[start], min(shape.some, order.size - start)
        for group in range(shape.groups):
            if shape.pointwise:
                columns = x[first * shape.across * shape.channels :]
            else:
                copy_columns(x, columns, shape, first, rows, group, False)
            columns_times(gemm, columns, W, y, shape, first, rows, group)
        finish(y[first * numbers_in_row : (first + rows) * numbers_in_row], bias, kind)


@inner
def convolve_back(
    order: Array, workspace: Array, dWs: Array, sums: Array, gemm: int, dy: Array, x: Array, W: Array,
    y: Array, dz: Array, dx: Array, shape: Shape, kind: int, period: int, wants_dx: bool,
) -> None:  # fmt: skip
    """dz, dx, and sums of dW and db, of the images in `order`."""
    columns, block, dW = workspace[0, period:], workspace[0, :period], dWs[0]
    size, in_row = shape.height * shape.width * shape.channels, shape.across * shape.filters
    end = (order[0] + order.size) * shape.down
    clear(dW)
    for first in range(order[0] * shape.down, end, shape.some):
        rows = min(shape.some, end - first)
        low, high = first * in_row, (first + rows) * in_row
        begin_back(dy[low:high], y[low:high], dz[low:high], sums[0], block, kind)
        if shape.pointwise:
            at = first * shape.across * shape.channels
            add_weights(gemm, x[at:], dz, dW, shape, first, rows, 0)
            if wants_dx:
                times_transposed(gemm, dz, W, dx[at:], shape, first, rows, 0)
            continue
        if wants_dx:
            begun = (first + shape.down - 1) // shape.down
            clear(dx[begun * size : max(begun, (first + rows + shape.down - 1) // shape.down) * size])
        for group in range(shape.groups):
            copy_columns(x, columns, shape, first, rows, group, False)
            add_weights(gemm, columns, dz, dW, shape, first, rows, group)
            if wants_dx:
                times_transposed(gemm, dz, W, columns, shape, first, rows, group)
                copy_columns(dx, columns, shape, first, rows, group, True)


@inner
def transposed_convolve(
    order: Array,
    workspace: Array,
    gemm: int,
    x: Array,
    W: Array,
    bias: Array,
    y: Array,
    shape: Shape,
    kind: int,
) -> None:
    """y of the transposed convolution of the images in `order`."""
    columns, size = workspace[0], shape.height * shape.width * shape.channels
    end, done = (order[0] + order.size) * shape.down, order[0]
    for first in range(order[0] * shape.down, end, shape.some):
        rows = min(shape.some, end - first)
        begun = (first + shape.down - 1) // shape.down
        clear(y[begun * size : max(begun, (first + rows + shape.down - 1) // shape.down) * size])
        times_transposed(gemm, x, W, columns, shape, first, rows, 0)
        copy_columns(y, columns, shape, first, rows, 0, True)
        complete = (first + rows) // shape.down
        finish(y[done * size : complete * size], bias, kind)
        done = complete


@inner
def transposed_convolve_back(
    order: Array, workspace: Array, dWs: Array, sums: Array, gemm: int, dy: Array, x: Array, W: Array,
    y: Array, dz: Array, dx: Array, shape: Shape, kind: int, period: int, wants_dx: bool,
) -> None:  # fmt: skip
    """dz, dx, and sums of dW and db, of the images in `order`."""
    columns, block, dW = workspace[0, period:], workspace[0, :period], dWs[0]
    size = shape.height * shape.width * shape.channels
    end, begun = (order[0] + order.size) * shape.down, order[0]
    clear(dW)
    for first in range(order[0] * shape.down, end, shape.some):
        rows = min(shape.some, end - first)
        needed = (first + rows + shape.down - 1) // shape.down
        low, high = begun * size, needed * size
        begin_back(dy[low:high], y[low:high], dz[low:high], sums[0], block, kind)
        begun = needed
        copy_columns(dz, columns, shape, first, rows, 0, False)
        add_weights(gemm, columns, x, dW, shape, first, rows, 0)
        if wants_dx:
            columns_times(gemm, columns, W, dx, shape, first, rows, 0)


@team
def team_convolve(
    order: Array,
    workspace: Array,
    gemm: int,
    x: Array,
    W: Array,
    bias: Array,
    y: Array,
    shape: Shape,
    kind: int,
) -> None:
    """Compute `convolve` for parts of the rows of windows in parallel."""
    share(convolve, (order, workspace), (gemm, x, W, bias, y, shape, kind), len(workspace))


@team
def team_transposed_convolve(
    order: Array,
    workspace: Array,
    gemm: int,
    x: Array,
    W: Array,
    bias: Array,
    y: Array,
    shape: Shape,
    kind: int,
) -> None:
    """Compute `transposed_convolve` for parts of the images in parallel."""
    share(transposed_convolve, (order, workspace), (gemm, x, W, bias, y, shape, kind), len(workspace))


@team
def team_convolve_back(
    order: Array, places: Array, workspace: Array, dWs: Array, dW: Array, sums: Array, gemm: int, dy: Array,
    x: Array, W: Array, y: Array, dz: Array, dx: Array, shape: Shape, kind: int, period: int, wants_dx: bool,
) -> None:  # fmt: skip
    """Compute `convolve_back` for parts of the images in parallel, and then the sum of all dW."""
    share(
        convolve_back, (order, workspace, dWs, sums),
        (gemm, dy, x, W, y, dz, dx, shape, kind, period, wants_dx), len(workspace),
    )  # fmt: skip
    share(add_parts, (places,), (dWs, dW), len(workspace))


@team
def team_transposed_convolve_back(
    order: Array, places: Array, workspace: Array, dWs: Array, dW: Array, sums: Array, gemm: int, dy: Array,
    x: Array, W: Array, y: Array, dz: Array, dx: Array, shape: Shape, kind: int, period: int, wants_dx: bool,
) -> None:  # fmt: skip
    """Compute `transposed_convolve_back` for parts of the images in parallel, and then the sum of all dW."""
    share(
        transposed_convolve_back, (order, workspace, dWs, sums),
        (gemm, dy, x, W, y, dz, dx, shape, kind, period, wants_dx), len(workspace),
    )  # fmt: skip
    share(add_parts, (places,), (dWs, dW), len(workspace))


@lru_cache(maxsize=1024)
def shape_of(windows: Windows, channels: int, filters: int, groups: int = 0) -> Shape:
    """Return the windows as numbers for kernels, and how the columns are laid out.

    `groups` is 0 for a transposed convolution, where the image is y, and `filters` the channels of x.
    """
    pointwise, groups = windows.pointwise and groups == 1, max(groups, 1)
    size = windows.kernel[0] * windows.kernel[1] * channels // groups
    run = windows.kernel[1] * channels if groups == 1 and windows.dilation[1] == 1 else channels // groups
    across = windows.outputs[1]
    return Shape(
        *windows.size, channels, *windows.outputs, *windows.kernel, *windows.strides, *windows.dilation,
        *windows.before, filters, groups, pointwise=int(pointwise),
        tall=int(run < NARROW and not pointwise),
        some=max(1, min(COLUMNS // size, POSITIONS) // across),
    )  # fmt: skip


class ConvolutionNumba(Compiled, ConvolutionNumPy):
    """Convolution by columns that stay in the cache, on all threads; see benchmarks/convolution.py."""

    def convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, groups: int, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """Compute product, bias and activation of a few windows on one core."""
        if not self._compiles(W, groups, x, y, *factors):
            return super().convolution_forward(x, W, b, y, windows, groups, buffer, kind, alpha, factors)
        shape = shape_of(windows, x.shape[-1], y.shape[-1], groups)
        order = numbers(len(x) * shape.down)
        x, W = self._rounded(x, W, factors)
        kernel = team_convolve if W.shape[2] > 1 or groups == 1 else team_depthwise
        return self._run_forward(kernel, order, x, W, b, y, shape, buffer, kind, alpha)

    def transposed_convolution_forward(
        self, x: Array, W: Array, b: Array | None, y: Array, windows: Windows, buffer: Buffer,
        kind: str = "identity", alpha: float = 0.0, factors: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        """Compute product, bias and activation of an image on one core."""
        if not self._compiles(W, 1, x, y, *factors):
            return super().transposed_convolution_forward(x, W, b, y, windows, buffer, kind, alpha, factors)
        shape, order = shape_of(windows, y.shape[-1], x.shape[-1]), numbers(len(x))
        x, W = self._rounded(x, W, factors)
        return self._run_forward(team_transposed_convolve, order, x, W, b, y, shape, buffer, kind, alpha)

    def convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        groups: int, buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Compute dz, db, dW and dx of a few windows on one core."""
        after = buffer, kind, alpha, y, dz, rounded_dz
        if not self._compiles(W, groups, x, dy, dW, dx, y, dz, rounded_dz):
            return super().convolution_backward(dy, x, W, dW, db, dx, windows, groups, *after)
        shape = shape_of(windows, x.shape[-1], dy.shape[-1], groups)
        kernel = team_convolve_back if W.shape[2] > 1 or groups == 1 else team_depthwise_back
        return self._run_back(kernel, dy, x, W, dW, db, dx, shape, *after)

    def transposed_convolution_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None, windows: Windows,
        buffer: Buffer, kind: str = "identity", alpha: float = 0.0, y: Array | None = None,
        dz: Array | None = None, rounded_dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Compute dz and db of an image, and dW and dx of a few windows, on one core."""
        after = buffer, kind, alpha, y, dz, rounded_dz
        if not self._compiles(W, 1, x, dy, dW, dx, y, dz, rounded_dz):
            return super().transposed_convolution_backward(dy, x, W, dW, db, dx, windows, *after)
        shape = shape_of(windows, dy.shape[-1], x.shape[-1])
        return self._run_back(team_transposed_convolve_back, dy, x, W, dW, db, dx, shape, *after)

    def _compiles(self, W: Array, groups: int, *others: Array | None) -> bool:
        """Return whether the kernels can compute this; NumPy computes several filters for each channel."""
        several = groups > 1 and W.shape[2] == 1 and W.shape[3] > groups
        return self.blas is not None and not several and usual(W, *others)

    def _segments_of(self, x: Array, W: Array, shape: Shape, most: int) -> int:
        """Return into how many segments the work is divided; each has at least `TASK` multiplications."""
        tasks: int = len(x) * shape.down * shape.across * W.size // TASK
        return max(1, min(self.threads, most, tasks))

    def _run_forward(
        self, kernel: Any, order: Array, x: Array, W: Array, b: Array | None, y: Array, shape: Shape,
        buffer: Buffer, kind: str, alpha: float,
    ) -> Array:  # fmt: skip
        """Call a kernel; activations that it does not compute follow."""
        filters, segments = y.shape[-1], self._segments_of(x, W, shape, order.size)
        workspace = buffer("columns", (segments, columns_size(shape, W)), y.dtype)
        bias = buffer("bias", (repeated(filters), filters), y.dtype)
        bias[...] = 0.0 if b is None else b
        fused = FORWARD[y.itemsize].get(kind, IDENTITY)
        flat = (a.reshape(-1) for a in (x, W, bias, y))
        kernel(order, workspace, self.blas.gemm[y.itemsize], *flat, shape, fused)
        return y if fused or kind == "identity" else self._activate(y, None, kind, alpha)

    def _run_back(
        self, kernel: Any, dy: Array, x: Array, W: Array, dW: Array, db: Array | None, dx: Array | None,
        shape: Shape, buffer: Buffer, kind: str, alpha: float, y: Array | None, dz: Array | None,
        rounded_dz: Array | None,
    ) -> Array:  # fmt: skip
        """Call a kernel; the activation comes before, if the kernel does not compute it."""
        fused, filters = BACKWARD.get(kind, IDENTITY), dy.shape[-1]
        if rounded_dz is not None:
            dy, db, fused = self._activate_backward(dy, db, kind, alpha, y, dz, rounded_dz), None, IDENTITY
        elif not fused:
            dy = self._activate_backward(dy, None, kind, alpha, y, dz, None)
        if not fused:  # then the kernel only reads dz
            y = dz = dy
        segments, period = self._segments_of(x, W, shape, len(x)), repeated(filters) * filters
        workspace = buffer("columns", (segments, period + columns_size(shape, W)), dW.dtype)
        dWs = buffer("weights", (segments, dW.size), dW.dtype)
        sums = buffer("sums", (segments, filters), np.float64)
        sums[...] = 0.0
        flat = (a.reshape(-1) for a in (dy, x, W, y, dz, x if dx is None else dx))  # type: ignore[union-attr]
        kernel(
            numbers(len(x)), numbers(dW.size), workspace, dWs, dW.reshape(-1), sums,
            self.blas.gemm[dW.itemsize], *flat, shape, fused, period, dx is not None,
        )  # fmt: skip
        if db is not None:
            db[...] = sums.sum(axis=0)
        return dW


def repeated(filters: int) -> int:
    """Return how many positions are one row of a loop over filters."""
    return max(1, LANES // filters)


def columns_size(shape: Shape, W: Array) -> int:
    """Return the numbers in the columns of the rows that are computed at a time; a depthwise one has none."""
    if shape.groups == shape.channels > 1:
        return int(W.size)
    return 0 if shape.pointwise else shape.some * shape.across * W.size // shape.filters
