"""The parts of a convolution inside compiled kernels: columns, their products, bias, activation, sums.

The *columns* of a convolution are a matrix of the numbers in each window (see convolution.py). Here they have
one of two forms. *Wide* columns have a row for each window. A row of a window is a few numbers in a row of
the image, so whole runs are copied. *Tall* columns have a row for each number of a window, with this number
of all windows. They are better if a run has only a few numbers, such as 5 of an image with one channel.

A `Shape` says where the windows are; all kernels read it. `first` and `rows` count rows of windows, over all
images: row r is row ``r % down`` of image ``r // down``. All arrays are flat.
"""

from __future__ import annotations

from typing import NamedTuple

from nnx.ops.activations_numba import (
    RELU,
    SIGMOID,
    TANH,
    relu,
    relu_backward,
    sigmoid_backward,
    sigmoid_float32,
    tanh_backward,
)  # fmt: skip
from nnx.ops.base import Array
from nnx.ops.base_numba import inner
from nnx.ops.products_numba import matrix, product, product_added


class Shape(NamedTuple):
    """The windows on an image (`nnx.ops.windows`) as numbers, for kernels.

    Attributes
    ----------
    height, width, channels : int
        Of an image.
    down, across : int
        Number of windows.
    kernel_rows, kernel_columns, stride_rows, stride_columns, apart_rows, apart_columns : int
    top, left : int
        Padding before the image.
    filters : int
        Numbers that belong to a window: of y in a convolution, of x in a transposed one.
    groups : int
    pointwise : int
        1 if the image is its own columns.
    tall : int
        1 for tall columns, 0 for wide ones.
    some : int
        Rows of windows whose columns are laid out at a time.
    """

    height: int
    width: int
    channels: int
    down: int
    across: int
    kernel_rows: int
    kernel_columns: int
    stride_rows: int
    stride_columns: int
    apart_rows: int
    apart_columns: int
    top: int
    left: int
    filters: int
    groups: int
    pointwise: int
    tall: int
    some: int


@inner
def wide_columns(
    image: Array, columns: Array, shape: Shape, first: int, rows: int, low: int, high: int, back: bool
) -> None:
    """Copy the channels `low` to `high` of windows into columns, or add columns to the image (`back`)."""
    span, taps, pieces = high - low, 1, shape.kernel_columns
    if shape.apart_columns == 1 and span == shape.channels:
        taps, pieces = pieces, 1  # one run has a whole row of a window
    zero = image.dtype.type(0)
    end = 0
    for row in range(rows):
        number, oy = (first + row) // shape.down, (first + row) % shape.down
        for ox in range(shape.across):
            for ky in range(shape.kernel_rows):
                iy = oy * shape.stride_rows - shape.top + ky * shape.apart_rows
                inside = 0 <= iy < shape.height
                for piece in range(pieces):
                    ix = ox * shape.stride_columns - shape.left + piece * shape.apart_columns
                    before = max(0, -ix) if inside else taps
                    before = min(before, taps)
                    after = max(before, min(taps, shape.width - ix))
                    start, end = end, end + taps * span
                    run = columns[start + before * span : start + after * span]
                    at = ((number * shape.height + iy) * shape.width + ix + before) * shape.channels + low
                    at = at if after > before else 0
                    part = image[at : at + run.size]
                    if back:
                        for i in range(run.size):
                            part[i] += run[i]
                        continue
                    for i in range(run.size):
                        run[i] = part[i]
                    if after - before < taps:
                        outside = columns[start : start + before * span]
                        for i in range(outside.size):
                            outside[i] = zero
                        outside = columns[start + after * span : end]
                        for i in range(outside.size):
                            outside[i] = zero


@inner
def tall_columns(
    image: Array, columns: Array, shape: Shape, first: int, rows: int, low: int, high: int, back: bool
) -> None:
    """Do the same for tall columns."""
    zero = image.dtype.type(0)
    step, line = shape.stride_columns * shape.channels, shape.width * shape.channels
    begin, begin_oy = first // shape.down * shape.height * line, first % shape.down
    end = 0
    for ky in range(shape.kernel_rows):
        for kx in range(shape.kernel_columns):
            shift = kx * shape.apart_columns - shape.left
            before = min(shape.across, max(0, -(shift // shape.stride_columns)))
            after = max(before, min(shape.across, (shape.width - 1 - shift) // shape.stride_columns + 1))
            length = after - before
            for channel in range(low, high):
                offset = (before * shape.stride_columns + shift) * shape.channels + channel
                origin, oy = begin, begin_oy
                for _ in range(rows):
                    iy = oy * shape.stride_rows - shape.top + ky * shape.apart_rows
                    start, end = end, end + shape.across
                    oy += 1
                    at = origin + iy * line + offset
                    if oy == shape.down:
                        origin, oy = origin + shape.height * line, 0
                    inside = 0 <= iy < shape.height
                    if not back and (not inside or length < shape.across):
                        run = columns[start:end]
                        for i in range(run.size):
                            run[i] = zero
                    if not inside or length == 0:
                        continue
                    run = columns[start + before : start + after]
                    part = image[at : at + (length - 1) * step + 1]
                    if back:
                        for i in range(run.size):
                            part[i * step] += run[i]
                    elif step == 1:
                        for i in range(run.size):
                            run[i] = part[i]
                    else:
                        for i in range(run.size):
                            run[i] = part[i * step]


@inner
def copy_columns(
    image: Array, columns: Array, shape: Shape, first: int, rows: int, group: int, back: bool
) -> None:
    """Lay out the columns of one group, or add them to the image."""
    low = group * shape.channels // shape.groups
    high = (group + 1) * shape.channels // shape.groups
    if shape.tall:
        tall_columns(image, columns, shape, first, rows, low, high, back)
    else:
        wide_columns(image, columns, shape, first, rows, low, high, back)


@inner
def columns_times(
    gemm: int, columns: Array, W: Array, y: Array, shape: Shape, first: int, rows: int, group: int
) -> None:
    """Y = columns · W for one group, and the windows in these rows."""
    count, size, part = rows * shape.across, W.size // shape.filters, shape.filters // shape.groups
    weights = matrix(W, group * part, size, part, shape.filters)
    out = matrix(y, first * shape.across * shape.filters + group * part, count, part, shape.filters)
    if shape.tall:
        product(gemm, matrix(columns, 0, size, count, count), weights, out, True, False)
    else:
        product(gemm, matrix(columns, 0, count, size, size), weights, out, False, False)


@inner
def times_transposed(
    gemm: int, z: Array, W: Array, columns: Array, shape: Shape, first: int, rows: int, group: int
) -> None:
    """Columns = z · Wᵀ."""
    count, size, part = rows * shape.across, W.size // shape.filters, shape.filters // shape.groups
    weights = matrix(W, group * part, size, part, shape.filters)
    given = matrix(z, first * shape.across * shape.filters + group * part, count, part, shape.filters)
    if shape.tall:
        product(gemm, weights, given, matrix(columns, 0, size, count, count), False, True)
    else:
        product(gemm, given, weights, matrix(columns, 0, count, size, size), False, True)


@inner
def add_weights(
    gemm: int, columns: Array, z: Array, dW: Array, shape: Shape, first: int, rows: int, group: int
) -> None:
    """dW += columnsᵀ · z."""
    count, size, part = rows * shape.across, dW.size // shape.filters, shape.filters // shape.groups
    weights = matrix(dW, group * part, size, part, shape.filters)
    given = matrix(z, first * shape.across * shape.filters + group * part, count, part, shape.filters)
    if shape.tall:
        product_added(gemm, matrix(columns, 0, size, count, count), given, weights, False, False)
    else:
        product_added(gemm, matrix(columns, 0, count, size, size), given, weights, True, False)


@inner
def finish(y: Array, bias: Array, kind: int) -> None:
    """y = f(y + b) for flat y; `bias` is b, repeated."""
    for start in range(0, y.size, bias.size):
        out = y[start : min(start + bias.size, y.size)]
        if kind == RELU:
            for j in range(out.size):
                out[j] = relu(out[j] + bias[j])
        elif kind == SIGMOID:
            for j in range(out.size):
                out[j] = sigmoid_float32(out[j] + bias[j])
        else:
            for j in range(out.size):
                out[j] += bias[j]


@inner
def begin_back(dy: Array, y: Array, dz: Array, sums: Array, block: Array, kind: int) -> None:
    """dz = dy ∘ f' for flat arrays; add Σ dz over positions to `sums`, in float64.

    `block` is memory for sums of several positions next to each other, as long as `bias` in `finish`.
    """
    zero, filters = dz.dtype.type(0), sums.size
    for begin in range(0, dz.size, 128 * block.size):
        end = min(begin + 128 * block.size, dz.size)
        out, above, below = dz[begin:end], dy[begin:end], y[begin:end]
        if kind == RELU:
            for j in range(out.size):
                out[j] = relu_backward(above[j], below[j])
        elif kind == SIGMOID:
            for j in range(out.size):
                out[j] = sigmoid_backward(above[j], below[j])
        elif kind == TANH:
            for j in range(out.size):
                out[j] = tanh_backward(above[j], below[j])
        for j in range(block.size):
            block[j] = zero
        for start in range(0, out.size, block.size):
            some = out[start : min(start + block.size, out.size)]
            for j in range(some.size):
                block[j] += some[j]
        for start in range(0, block.size, filters):
            for j in range(filters):
                sums[j] += block[start + j]


@inner
def clear(x: Array) -> None:
    """x = 0."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        x[i] = zero


@inner
def add_parts(places: Array, parts: Array, total: Array) -> None:
    """total = Σ parts, at the numbers in `places`."""
    low, high = places[0], places[0] + places.size
    out = total[low:high]
    for number in range(len(parts)):
        part = parts[number, low:high]
        if number == 0:
            for i in range(out.size):
                out[i] = part[i]
        else:
            for i in range(out.size):
                out[i] += part[i]
