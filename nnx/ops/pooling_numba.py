"""Compiled forms of pooling.py.

An image can have few channels, and loops over them are then short. So a kernel first reduces each column of a
row of windows, and then neighbouring columns. Both loops run over a whole line of the image.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, inner, numbers, team, usual
from nnx.ops.columns_numba import Shape, clear
from nnx.ops.convolution_numba import shape_of
from nnx.ops.pooling import PoolingNumPy, position_type
from nnx.ops.share_numba import share
from nnx.ops.sums import BLOCK
from nnx.ops.windows import Windows


@inner
def highest(seen: Array, number: Array, shift: int, best: Array, where: Array) -> None:
    """Replace `best` where `seen` is greater, or equal and earlier in the window; NaN is greater than all."""
    for i in range(best.size):
        new, old, place, before = seen[i], best[i], np.int32(number[i] + shift), where[i]
        greater = (not new <= old) & (old == old)
        same = (new == old) | ((new != new) & (old != old))
        better = greater | (same & (place < before))
        best[i] = new if better else old
        where[i] = place if better else before


@inner
def max_rows(
    order: Array, memory: Array, place: Array, x: Array, y: Array, position: Array, shape: Shape
) -> None:
    """Compute the maxima of the rows of windows in `order`, and their positions.

    `memory` and `place` are two lines of an image with padding, and the numbers of places in the window.
    """
    channels = shape.channels
    line, step = shape.width * channels, shape.stride_columns * channels
    lowest, none = y.dtype.type(-np.inf), np.int32(shape.kernel_rows * shape.kernel_columns)
    size = ((shape.across - 1) * shape.stride_columns + 1) * channels
    start = shape.left * channels
    for row in range(order[0], order[0] + order.size):
        top = row % shape.down * shape.stride_rows - shape.top
        columns, numbers_of = memory[0, 0], place[0, 0]
        for i in range(columns.size):
            columns[i] = lowest
            numbers_of[i] = none
        best, where = columns[start : start + line], numbers_of[start : start + line]
        for ky in range(max(0, -top), min(shape.kernel_rows, shape.height - top)):
            at = (row // shape.down * shape.height + top + ky) * line
            seen, number = x[at : at + line], np.int32(ky * shape.kernel_columns)
            for i in range(best.size):
                better = ((not seen[i] <= best[i]) & (best[i] == best[i])) | (where[i] == none)
                best[i] = seen[i] if better else best[i]
                where[i] = number if better else where[i]
        best, where = memory[0, 1, :size], place[0, 1, :size]
        for i in range(best.size):
            best[i] = columns[i]
            where[i] = numbers_of[i]
        for kx in range(1, shape.kernel_columns):
            highest(
                columns[kx * channels : kx * channels + size],
                numbers_of[kx * channels : kx * channels + size],
                kx,
                best,
                where,
            )
        for o in range(shape.across):
            begin = (row * shape.across + o) * channels
            out, found = y[begin : begin + channels], position[begin : begin + channels]
            some, which = best[o * step : o * step + channels], where[o * step : o * step + channels]
            for i in range(out.size):
                out[i] = some[i]
                found[i] = position.dtype.type(which[i])


@inner
def max_back_images(order: Array, dy: Array, position: Array, dx: Array, places: Array, shape: Shape) -> None:
    """dx of the images in `order`; `places` says for each position in a window where it is in the image."""
    channels, size = shape.channels, shape.height * shape.width * shape.channels
    for image in range(order[0], order[0] + order.size):
        clear(dx[image * size : (image + 1) * size])
        for row in range(image * shape.down, (image + 1) * shape.down):
            top = row % shape.down * shape.stride_rows - shape.top
            for o in range(shape.across):
                begin = (row * shape.across + o) * channels
                given, found = dy[begin : begin + channels], position[begin : begin + channels]
                at = image * size + (top * shape.width + o * shape.stride_columns - shape.left) * channels
                for i in range(given.size):
                    dx[at + i + places[found[i]]] += given[i]


@inner
def average_rows(order: Array, memory: Array, x: Array, y: Array, shape: Shape) -> None:
    """Compute the means of the rows of windows in `order`; `memory` is as in `max_rows`."""
    channels = shape.channels
    line, step, start = shape.width * channels, shape.stride_columns * channels, shape.left * channels
    size = ((shape.across - 1) * shape.stride_columns + 1) * channels
    for row in range(order[0], order[0] + order.size):
        top = row % shape.down * shape.stride_rows - shape.top
        low, high = max(0, -top), min(shape.kernel_rows, shape.height - top)
        columns, total = memory[0, 0], memory[0, 1, :size]
        clear(columns)
        clear(total)
        sums = columns[start : start + line]
        for ky in range(low, high):
            at = (row // shape.down * shape.height + top + ky) * line
            seen = x[at : at + line]
            for i in range(sums.size):
                sums[i] += seen[i]
        for kx in range(shape.kernel_columns):
            seen = columns[kx * channels : kx * channels + size]
            for i in range(total.size):
                total[i] += seen[i]
        for o in range(shape.across):
            left = o * shape.stride_columns - shape.left
            width = min(left + shape.kernel_columns, shape.width) - max(0, left)
            count = y.dtype.type((high - low) * width)
            begin = (row * shape.across + o) * channels
            out, some = y[begin : begin + channels], total[o * step : o * step + channels]
            for i in range(out.size):
                out[i] = some[i] / count


@inner
def average_back_images(order: Array, memory: Array, dy: Array, dx: Array, shape: Shape) -> None:
    """dx of the images in `order`; `memory` is a line of an image, with padding."""
    channels, line = shape.channels, shape.width * shape.channels
    shares = memory[0]
    spread = shares[shape.left * channels : shape.left * channels + line]
    for image in range(order[0], order[0] + order.size):
        clear(dx[image * shape.height * line : (image + 1) * shape.height * line])
        for row in range(image * shape.down, (image + 1) * shape.down):
            top = row % shape.down * shape.stride_rows - shape.top
            low, high = max(0, -top), min(shape.kernel_rows, shape.height - top)
            clear(shares)
            for o in range(shape.across):
                left = o * shape.stride_columns - shape.left
                width = min(left + shape.kernel_columns, shape.width) - max(0, left)
                count = dy.dtype.type((high - low) * width)
                begin = (row * shape.across + o) * channels
                given = dy[begin : begin + channels]
                for kx in range(shape.kernel_columns):
                    at = (o * shape.stride_columns + kx) * channels
                    out = shares[at : at + channels]
                    for i in range(out.size):
                        out[i] += given[i] / count
            for ky in range(low, high):
                at = (image * shape.height + top + ky) * line
                out = dx[at : at + line]
                for i in range(out.size):
                    out[i] += spread[i]


@team
def team_max_rows(
    order: Array, memory: Array, place: Array, x: Array, y: Array, position: Array, shape: Shape
) -> None:
    """Compute `max_rows` for parts of the rows of windows in parallel."""
    share(max_rows, (order, memory, place), (x, y, position, shape), len(memory))


@team
def team_max_back_images(
    order: Array, dy: Array, position: Array, dx: Array, places: Array, shape: Shape, segments: int
) -> None:
    """Compute `max_back_images` for parts of the images in parallel."""
    share(max_back_images, (order,), (dy, position, dx, places, shape), segments)


@team
def team_average_rows(order: Array, memory: Array, x: Array, y: Array, shape: Shape) -> None:
    """Compute `average_rows` for parts of the rows of windows in parallel."""
    share(average_rows, (order, memory), (x, y, shape), len(memory))


@team
def team_average_back_images(order: Array, memory: Array, dy: Array, dx: Array, shape: Shape) -> None:
    """Compute `average_back_images` for parts of the images in parallel."""
    share(average_back_images, (order, memory), (dy, dx, shape), len(memory))


class PoolingNumba(Compiled, PoolingNumPy):
    """Pooling on all threads, in one pass over the images; see benchmarks/convolution.py."""

    def max_pool_forward(self, x: Array, y: Array, windows: Windows, position: Array | None = None) -> Array:
        """Compute maxima and positions together."""
        if not usual(x, y) or not (position is None or position.flags.carray):
            return super().max_pool_forward(x, y, windows, position)
        if position is None:
            position = self._scratch(y.shape, position_type(windows), 2)
        shape, order = shape_of(windows, x.shape[-1], 1), numbers(len(x) * windows.outputs[0])
        lines = self._pooling_segments(x, order.size), 2, line_size(shape)
        memory, place = self._scratch(lines, x.dtype), self._scratch(lines, np.int32, 1)
        team_max_rows(order, memory, place, x.reshape(-1), y.reshape(-1), position.reshape(-1), shape)
        return y

    def max_pool_backward(self, dy: Array, position: Array, dx: Array, windows: Windows) -> Array:
        """Clear an image, and add each number to the place of its maximum."""
        if not usual(dy, dx) or not position.flags.carray:
            return super().max_pool_backward(dy, position, dx, windows)
        channels, segments = dx.shape[-1], self._pooling_segments(dx, len(dx))
        flat = dy.reshape(-1), position.reshape(-1), dx.reshape(-1)
        places, shape = places_in_image(windows, channels), shape_of(windows, channels, 1)
        team_max_back_images(numbers(len(dx)), *flat, places, shape, segments)
        return dx

    def average_pool_forward(self, x: Array, y: Array, windows: Windows) -> Array:
        """Sum and divide while a row of windows is in the cache; NumPy sums large windows row by row."""
        if not usual(x, y) or math.prod(windows.kernel) > BLOCK:
            return super().average_pool_forward(x, y, windows)
        shape, order = shape_of(windows, x.shape[-1], 1), numbers(len(x) * windows.outputs[0])
        memory = self._scratch((self._pooling_segments(x, order.size), 2, line_size(shape)), x.dtype)
        team_average_rows(order, memory, x.reshape(-1), y.reshape(-1), shape)
        return y

    def average_pool_backward(self, dy: Array, dx: Array, windows: Windows) -> Array:
        """Clear an image, and add the share of each window to its places."""
        if not usual(dy, dx):
            return super().average_pool_backward(dy, dx, windows)
        shape = shape_of(windows, dx.shape[-1], 1)
        memory = self._scratch((self._pooling_segments(dx, len(dx)), line_size(shape)), dx.dtype)
        team_average_back_images(numbers(len(dx)), memory, dy.reshape(-1), dx.reshape(-1), shape)
        return dx

    def _pooling_segments(self, x: Array, most: int) -> int:
        """Return into how many segments the work is divided."""
        return max(1, min(self.threads, most)) if x.size >= SMALL_ARRAY else 1


def line_size(shape: Shape) -> int:
    """Return the numbers in a line of an image with the padding that windows reach."""
    reached = (shape.across - 1) * shape.stride_columns + shape.kernel_columns
    return max(shape.left + shape.width, reached) * shape.channels


@lru_cache(maxsize=256)
def places_in_image(windows: Windows, channels: int) -> Array:
    """Return for each position in a window how far it is from the first number of the window."""
    rows, columns = np.indices(windows.kernel).reshape(2, -1)
    return (rows * windows.size[1] + columns) * channels
