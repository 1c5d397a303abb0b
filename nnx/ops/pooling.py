"""Maximum and average pooling of images of shape (rows, height, width, channels).

`Windows` says where the windows are. A window o holds the positions i of the image; padding is left out.

    maximum:  y[o] = max x[i] over i in o,       dx[i] = Σ dy[o] over the windows o with first maximum i
    average:  y[o] = Σ x[i] / n[o] over i in o,  dx[i] = Σ dy[o] / n[o] over the windows o that hold i

n[o] is the number of positions in the window, so padding is not counted. If a window holds its maximum more
than once, the first one gets the gradient, from left to right and from top to bottom. If it holds a NaN, its
maximum is NaN.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nnx.errors import DataError
from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import Elementwise
from nnx.ops.sums import BLOCK
from nnx.ops.windows import Windows

Index = tuple[slice, slice, slice]


def position_type(windows: Windows) -> str:
    """Return the type of the array with the position of each maximum in its window."""
    return "uint8" if math.prod(windows.kernel) <= 256 else "int32"


class Place(NamedTuple):
    """One place in all windows: the windows that have it inside the image, and where it is in the image."""

    windows: Index
    image: Index


@functools.lru_cache(256)
def places(windows: Windows) -> tuple[Place, ...]:
    """Return the places in a window, row by row."""
    along = [[_along(windows, axis, place) for place in range(windows.kernel[axis])] for axis in (0, 1)]
    every = slice(None)
    return tuple(
        Place((every, rows[0], columns[0]), (every, rows[1], columns[1]))
        for rows in along[0]
        for columns in along[1]
    )


def _along(windows: Windows, axis: int, place: int) -> tuple[slice, slice]:
    """Return the windows that have a place inside the image, and where it is, along one axis."""
    stride, offset = windows.strides[axis], place - windows.before[axis]
    first = max(0, -(offset // stride))
    stop = min(windows.outputs[axis], (windows.size[axis] - 1 - offset) // stride + 1)
    if stop <= first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride + offset
    return slice(first, stop), slice(begin, begin + (stop - first - 1) * stride + 1, stride)


@functools.lru_cache(256)
def counts(windows: Windows) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how many rows of the image each row of windows holds, and how many columns each column."""
    held = []
    for axis in (0, 1):
        begins = [i * windows.strides[axis] - windows.before[axis] for i in range(windows.outputs[axis])]
        size, kernel = windows.size[axis], windows.kernel[axis]
        held.append(tuple(min(begin + kernel, size) - max(begin, 0) for begin in begins))
    return held[0], held[1]


class Pooling(Operations):
    """Pooling in the plain form."""

    def max_pool_forward(self, x: Array, y: Array, windows: Windows, position: Array | None = None) -> Array:
        """y[o] = max x[i] over the window, and the position of its first maximum, counted row by row.

        `position` has the shape of y and the type `position_type`; with None, only y is computed.
        """
        xp = self.xp
        best = xp.full(y.shape, -xp.inf, dtype=x.dtype)
        found = xp.full(y.shape, -1, dtype="int32")
        for number, place in enumerate(places(windows)):
            seen, known, there = x[place.image], best[place.windows], found[place.windows]
            better = (there < 0) | (seen > known) | (xp.isnan(seen) & ~xp.isnan(known))
            best[place.windows] = xp.where(better, seen, known)
            found[place.windows] = xp.where(better, number, there)
        y[...] = best
        if position is not None:
            position[...] = found
        return y

    def max_pool_backward(self, dy: Array, position: Array, dx: Array, windows: Windows) -> Array:
        """dx[i] = Σ dy[o] over the windows o whose maximum is at i."""
        xp = self.xp
        dx[...] = 0.0
        for number, place in enumerate(places(windows)):
            dx[place.image] += xp.where(position[place.windows] == number, dy[place.windows], 0.0)
        return dx

    def average_pool_forward(self, x: Array, y: Array, windows: Windows) -> Array:
        """y[o] = Σ x[i] / n[o] over the window; each row of the window is summed separately."""
        y[...] = 0.0
        columns = windows.kernel[1]
        for first in range(0, math.prod(windows.kernel), columns):
            row = self.xp.zeros(y.shape, dtype=y.dtype)
            for place in places(windows)[first : first + columns]:
                row[place.windows] += x[place.image]
            y += row
        y /= self._counts(windows, y)
        return y

    def average_pool_backward(self, dy: Array, dx: Array, windows: Windows) -> Array:
        """dx[i] = Σ dy[o] / n[o] over the windows o that hold i."""
        share = dy / self._counts(windows, dy)
        dx[...] = 0.0
        for place in places(windows):
            dx[place.image] += share[place.windows]
        return dx

    def _counts(self, windows: Windows, like: Array) -> Array:
        """Return how many positions of the image each window holds, of shape (outputs, outputs, 1)."""
        rows, columns = (self.xp.asarray(count, dtype=like.dtype) for count in counts(windows))
        return (rows[:, None] * columns)[:, :, None]


class PoolingNumPy(InPlace, Pooling):
    """Pooling in place (`benchmarks/operations.py`)."""

    def max_pool_forward(self, x: Array, y: Array, windows: Windows, position: Array | None = None) -> Array:
        """Take the maximum of one place in all windows after the other.

        The position of the first maximum is the number of places before it, which all differ from the
        maximum. A NaN differs from itself, so then the plain form finds the positions.
        """
        whole = places(windows)
        if windows.is_padded:
            y.fill(-np.inf)
        else:
            np.copyto(y, x[whole[0].image])
        for place in whole if windows.is_padded else whole[1:]:
            known = y[place.windows]
            np.maximum(known, x[place.image], out=known)
        if position is None:
            return y
        if np.isnan(np.max(y)):
            return super().max_pool_forward(x, y, windows, position)
        position.fill(0)
        before, differs = self._scratch(y.shape, bool), self._scratch(y.shape, bool, 1)
        before.fill(True)
        for place in whole[:-1]:
            if windows.is_padded:
                differs.fill(True)
            np.not_equal(x[place.image], y[place.windows], out=differs[place.windows])
            np.logical_and(before, differs, out=before)
            np.add(position, before.view(np.uint8), out=position)
        return y

    def max_pool_backward(self, dy: Array, position: Array, dx: Array, windows: Windows) -> Array:
        """Multiply dy by 0 or 1 for one place in all windows after the other."""
        chosen = self._scratch(dy.shape, bool)
        apart, share = _apart(windows), self._scratch(dy.shape, dy.dtype)
        if not _tiled(windows):
            dx.fill(0)
        for number, place in enumerate(places(windows)):
            np.equal(position, number, out=chosen)
            if apart:
                np.multiply(dy[place.windows], chosen[place.windows], out=dx[place.image])
            else:
                np.multiply(dy, chosen, out=share)
                dx[place.image] += share[place.windows]
        return dx

    def average_pool_forward(self, x: Array, y: Array, windows: Windows) -> Array:
        """Add one place in all windows after the other; rows of large windows are summed separately."""
        columns = windows.kernel[1]
        large = math.prod(windows.kernel) > BLOCK
        row = self._scratch(y.shape, y.dtype) if large else y
        y.fill(0)
        for number, place in enumerate(places(windows)):
            if large and number % columns == 0:
                row.fill(0)
            row[place.windows] += x[place.image]
            if large and number % columns == columns - 1:
                y += row
        return np.divide(y, self._divisor(windows, y), out=y)

    def average_pool_backward(self, dy: Array, dx: Array, windows: Windows) -> Array:
        """Divide once, then write or add the quotients to one place in all windows after the other."""
        share = np.divide(dy, self._divisor(windows, dy), out=self._scratch(dy.shape, dy.dtype))
        apart = _apart(windows)
        if not _tiled(windows):
            dx.fill(0)
        for place in places(windows):
            if apart:
                np.copyto(dx[place.image], share[place.windows])
            else:
                dx[place.image] += share[place.windows]
        return dx

    def _divisor(self, windows: Windows, like: Array) -> Array | int:
        """Return the number of positions in a window, one for all if there is no padding."""
        return self._counts(windows, like) if windows.is_padded else math.prod(windows.kernel)


def _apart(windows: Windows) -> bool:
    """Return whether no position is in two windows."""
    return all(step >= kernel for step, kernel in zip(windows.strides, windows.kernel, strict=True))


def _tiled(windows: Windows) -> bool:
    """Return whether each position is in exactly one window."""
    covered = (count * step for count, step in zip(windows.outputs, windows.strides, strict=True))
    whole = all(reach >= size for reach, size in zip(covered, windows.size, strict=True))
    return windows.strides == windows.kernel and whole


NUMBERS = (
    "uint32 height, uint32 width, uint32 channels, uint32 above, uint32 left, uint32 kernel_rows,"
    " uint32 kernel_columns, uint32 down, uint32 across, uint32 rows, uint32 columns"
)

# y[i] is of the window that begins `top` rows below and `start` columns right of the image's first number.
OF_A_WINDOW = """
const long long whole = (long long)rows * columns * channels, image = i / whole;
unsigned int place = (unsigned int)(i % whole);
const unsigned int channel = place % channels;
place /= channels;
const int top = (int)(place / columns * down) - (int)above, end = top + (int)kernel_rows;
const int start = (int)(place % columns * across) - (int)left, stop = start + (int)kernel_columns;
const int low = end < (int)height ? end : (int)height, right = stop < (int)width ? stop : (int)width;
for (int row = top > 0 ? top : 0; row < low; ++row) {{
    for (int column = start > 0 ? start : 0; column < right; ++column) {{
        const T number = x[((image * height + row) * width + column) * channels + channel];
        {see}
    }}
    {after_row}
}}
"""

# dx[i] sums over the windows (o, p) that hold it; `row` and `column` count the padding too.
OF_A_POSITION = """
const long long whole = (long long)height * width * channels, image = i / whole;
unsigned int place = (unsigned int)(i % whole);
const unsigned int channel = place % channels;
place /= channels;
const unsigned int row = place / width + above, column = place % width + left;
T sum = T(0);
for (unsigned int o = row < kernel_rows ? 0 : (row - kernel_rows) / down + 1;
     o <= row / down && o < rows; ++o)
    for (unsigned int p = column < kernel_columns ? 0 : (column - kernel_columns) / across + 1;
         p <= column / across && p < columns; ++p) {{
        const long long at = ((image * rows + o) * columns + p) * channels + channel;
        {see}
    }}
dx = sum;
"""

MAX_FORWARD = {
    kind: Elementwise(
        f"max_pool_forward_{kind}",
        inputs=f"raw T x, {NUMBERS}",
        outputs=f"T y, {kind} position",
        body="T best = T(0); int found = -1;"
        + OF_A_WINDOW.format(
            see="if (found < 0 || number > best || (number != number && best == best)) {"
            " best = number; found = (row - top) * (int)kernel_columns + column - start; }",
            after_row="",
        )
        + "y = best; position = found;",
    )
    for kind in ("uint8", "int32")
}

MAX_BACKWARD = {
    kind: Elementwise(
        f"max_pool_backward_{kind}",
        inputs=f"raw T dy, raw {kind} position, {NUMBERS}",
        outputs="T dx",
        body=OF_A_POSITION.format(
            see="if (position[at] == (row - o * down) * kernel_columns + column - p * across) sum += dy[at];"
        ),
    )
    for kind in ("uint8", "int32")
}

AVERAGE_FORWARD = Elementwise(
    "average_pool_forward",
    inputs=f"raw T x, {NUMBERS}",
    outputs="T y",
    body="T sum = T(0), some = T(0);"
    + OF_A_WINDOW.format(see="some += number;", after_row="sum += some; some = T(0);")
    + "y = sum / T((low - (top > 0 ? top : 0)) * (right - (start > 0 ? start : 0)));",
)

AVERAGE_BACKWARD = Elementwise(
    "average_pool_backward",
    inputs=f"raw T dy, {NUMBERS}",
    outputs="T dx",
    body=OF_A_POSITION.format(
        see="const unsigned int top = o * down > above ? o * down : above;"
        " const unsigned int start = p * across > left ? p * across : left;"
        " const unsigned int end = o * down + kernel_rows, stop = p * across + kernel_columns;"
        " const unsigned int low = end < above + height ? end : above + height;"
        " const unsigned int right = stop < left + width ? stop : left + width;"
        " sum += dy[at] / T((low - top) * (right - start));"
    ),
)


class PoolingCuPy(OnGpu, Pooling):
    """Pooling on the GPU: one launch each, without atomics. A thread gathers what its number needs.

    Indices within an image have 32 bits, so an image has fewer than 2³¹ numbers.
    """

    def max_pool_forward(self, x: Array, y: Array, windows: Windows, position: Array | None = None) -> Array:
        """Compute the maximum and its position together."""
        kind = position_type(windows)
        with self._hold:
            if position is None:
                position = self._buffer("position", y.size, kind)[: y.size]
            MAX_FORWARD[kind].kernel(
                x.reshape(-1), *_numbers(windows, x), y.reshape(-1), position.reshape(-1)
            )
        return y

    def max_pool_backward(self, dy: Array, position: Array, dx: Array, windows: Windows) -> Array:
        """Let each position of the image look for itself in the windows that hold it."""
        with self._hold:
            MAX_BACKWARD[position_type(windows)].kernel(
                dy.reshape(-1), position.reshape(-1), *_numbers(windows, dx), dx.reshape(-1)
            )
        return dx

    def average_pool_forward(self, x: Array, y: Array, windows: Windows) -> Array:
        """Sum the rows of a window separately."""
        with self._hold:
            AVERAGE_FORWARD.kernel(x.reshape(-1), *_numbers(windows, x), y.reshape(-1))
        return y

    def average_pool_backward(self, dy: Array, dx: Array, windows: Windows) -> Array:
        """Let each position of the image sum over the windows that hold it."""
        with self._hold:
            AVERAGE_BACKWARD.kernel(dy.reshape(-1), *_numbers(windows, dx), dx.reshape(-1))
        return dx


def _numbers(windows: Windows, image: Array) -> tuple[int, ...]:
    """Return the numbers of a kernel.

    Raises
    ------
    DataError
        If an image is too large for indices of 32 bits.
    """
    if math.prod(image.shape[1:]) >= 2**31:
        raise DataError(f"images of shape {image.shape[1:]} have 2³¹ or more numbers, too many for the GPU")
    return (
        *windows.size,
        image.shape[3],
        *windows.before,
        *windows.kernel,
        *windows.strides,
        *windows.outputs,
    )
