"""Compiled forms of a depthwise convolution with one filter for each channel: direct loops over the channels.

The threads share rows of windows, or images in the backward pass. All arrays are flat; see `columns_numba`.
"""

from __future__ import annotations

from nnx.ops.base import Array
from nnx.ops.base_numba import inner, team
from nnx.ops.columns_numba import Shape, add_parts, begin_back, clear, finish
from nnx.ops.share_numba import share


@inner
def depthwise(
    order: Array, workspace: Array, x: Array, W: Array, bias: Array, y: Array, shape: Shape, kind: int
) -> None:
    """y = f(x ∗ W + b) for the rows of windows in `order`."""
    channels = shape.channels
    in_row = shape.across * channels
    for row in range(order[0], order[0] + order.size):
        top = row % shape.down * shape.stride_rows - shape.top
        for o in range(shape.across):
            left = o * shape.stride_columns - shape.left
            out = y[row * in_row + o * channels : row * in_row + (o + 1) * channels]
            clear(out)
            for ky in range(shape.kernel_rows):
                iy = top + ky * shape.apart_rows
                for kx in range(shape.kernel_columns):
                    ix = left + kx * shape.apart_columns
                    if 0 <= iy < shape.height and 0 <= ix < shape.width:
                        at = ((row // shape.down * shape.height + iy) * shape.width + ix) * channels
                        place = (ky * shape.kernel_columns + kx) * channels
                        seen, weights = x[at : at + channels], W[place : place + channels]
                        for i in range(out.size):
                            out[i] += seen[i] * weights[i]
        finish(y[row * in_row : (row + 1) * in_row], bias, kind)


@inner
def depthwise_back(
    order: Array, workspace: Array, dWs: Array, sums: Array, dy: Array, x: Array, W: Array, y: Array,
    dz: Array, dx: Array, shape: Shape, kind: int, period: int, wants_dx: bool,
) -> None:  # fmt: skip
    """dz, dx, and sums of dW and db, of the images in `order`; each row of windows is summed separately."""
    channels, size = shape.channels, shape.height * shape.width * shape.channels
    block, part, dW = workspace[0, :period], workspace[0, period : period + W.size], dWs[0]
    in_row = shape.across * channels
    clear(dW)
    if wants_dx:
        clear(dx[order[0] * size : (order[0] + order.size) * size])
    for row in range(order[0] * shape.down, (order[0] + order.size) * shape.down):
        low, high = row * in_row, (row + 1) * in_row
        begin_back(dy[low:high], y[low:high], dz[low:high], sums[0], block, kind)
        clear(part)
        top = row % shape.down * shape.stride_rows - shape.top
        for o in range(shape.across):
            left = o * shape.stride_columns - shape.left
            given = dz[low + o * channels : low + (o + 1) * channels]
            for ky in range(shape.kernel_rows):
                iy = top + ky * shape.apart_rows
                for kx in range(shape.kernel_columns):
                    ix = left + kx * shape.apart_columns
                    if 0 <= iy < shape.height and 0 <= ix < shape.width:
                        at = ((row // shape.down * shape.height + iy) * shape.width + ix) * channels
                        place = (ky * shape.kernel_columns + kx) * channels
                        seen, some = x[at : at + channels], part[place : place + channels]
                        for i in range(given.size):
                            some[i] += seen[i] * given[i]
                        if wants_dx:
                            out, weights = dx[at : at + channels], W[place : place + channels]
                            for i in range(given.size):
                                out[i] += given[i] * weights[i]
        for i in range(dW.size):
            dW[i] += part[i]


@team
def team_depthwise(
    order: Array, workspace: Array, _: int, x: Array, W: Array, bias: Array, y: Array, shape: Shape, kind: int
) -> None:
    """Compute `depthwise` for parts of the rows of windows in parallel."""
    share(depthwise, (order, workspace), (x, W, bias, y, shape, kind), len(workspace))


@team
def team_depthwise_back(
    order: Array, places: Array, workspace: Array, dWs: Array, dW: Array, sums: Array, _: int, dy: Array,
    x: Array, W: Array, y: Array, dz: Array, dx: Array, shape: Shape, kind: int, period: int, wants_dx: bool,
) -> None:  # fmt: skip
    """Compute `depthwise_back` for parts of the images in parallel, and then the sum of all dW."""
    share(
        depthwise_back, (order, workspace, dWs, sums),
        (dy, x, W, y, dz, dx, shape, kind, period, wants_dx), len(workspace),
    )  # fmt: skip
    share(add_parts, (places,), (dWs, dW), len(workspace))
