"""Compiled forms of sparse.py: threads share rows in the forward pass, and used columns in the backward pass.

A tile has about as many non-zeros as every other, because a few columns have most of them. Each sum is
computed by one thread in a fixed order, so the number of threads does not change a bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnx.ops.activations_numba import IDENTITY, RELU, SIGMOID, relu, sigmoid_float32
from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, numbers, team, usual
from nnx.ops.dense_numba import FORWARD
from nnx.ops.share_numba import share
from nnx.ops.sparse import SparseBatch, SparseNumPy

BLOCK = 128  # so many are summed one by one


@inner
def bound(starts: Array, index: int, tiles: int) -> Any:
    """Return where tile `index` begins: the first row or column that begins at its share of the non-zeros."""
    count = starts.size - 1
    if index == tiles:
        return count
    place = index * starts[count] // tiles
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if starts[middle] < place:
            low = middle + 1
        else:
            high = middle
    return low if index else 0


@inner
def add_rows(out: Array, places: Array, factors: Array, table: Array) -> None:
    """out += Σ factors[i] table[places[i]], four rows at a time so that `out` is written less often."""
    fours = places.size // 4
    for four in range(fours):
        i = 4 * four
        a, b, c, d = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        p, q = table[places[i]], table[places[i + 1]]
        r, s = table[places[i + 2]], table[places[i + 3]]
        for j in range(out.size):
            out[j] += (a * p[j] + b * q[j]) + (c * r[j] + d * s[j])
    for i in range(4 * fours, places.size):
        a, p = factors[i], table[places[i]]
        for j in range(out.size):
            out[j] += a * p[j]


@inner
def forward_tile(
    numbers: Array, starts: Array, columns: Array, values: Array, W: Array, b: Array, y: Array, kind: int,
    tiles: int,
) -> None:  # fmt: skip
    """Compute the rows of tile ``numbers[0]`` of y = f(x W + b)."""
    index = numbers[0]
    for row in range(bound(starts, index, tiles), bound(starts, index + 1, tiles)):
        out, low, high = y[row], starts[row], starts[row + 1]
        for j in range(out.size):
            out[j] = b[j]
        add_rows(out, columns[low:high], values[low:high], W)
        if kind == RELU:
            for j in range(out.size):
                out[j] = relu(out[j])
        elif kind == SIGMOID:
            for j in range(out.size):
                out[j] = sigmoid_float32(out[j])


@team
def team_sparse_forward(
    numbers: Array, starts: Array, columns: Array, values: Array, W: Array, b: Array, y: Array, kind: int
) -> None:
    """Compute the tiles 0, 1, … of `numbers` in parallel."""
    share(forward_tile, (numbers,), (starts, columns, values, W, b, y, kind, numbers.size), numbers.size)


@inner
def backward_tile(
    numbers: Array, starts: Array, rows: Array, values: Array, dz: Array, sums: Array, tiles: int,
    zero: Scalar,
) -> None:  # fmt: skip
    """Compute the sums of the columns of tile ``numbers[0]``; long ones in blocks of about √n non-zeros."""
    some, index = np.empty(sums.shape[1], sums.dtype), numbers[0]
    for column in range(bound(starts, index, tiles), bound(starts, index + 1, tiles)):
        out, low, end = sums[column], starts[column], starts[column + 1]
        for j in range(out.size):
            out[j] = zero
        block = max(BLOCK, int(math.sqrt(end - low)))
        if end - low <= block:
            add_rows(out, rows[low:end], values[low:end], dz)
            continue
        while low < end:
            high = min(low + block, end)
            for j in range(some.size):
                some[j] = zero
            add_rows(some, rows[low:high], values[low:high], dz)
            for j in range(out.size):
                out[j] += some[j]
            low = high


@team
def team_sparse_backward(
    numbers: Array, starts: Array, rows: Array, values: Array, dz: Array, sums: Array, zero: Scalar
) -> None:
    """Compute the tiles 0, 1, … of `numbers` in parallel."""
    share(backward_tile, (numbers,), (starts, rows, values, dz, sums, numbers.size, zero), numbers.size)


class SparseNumba(Compiled, SparseNumPy):
    """A dense layer on sparse rows with all threads; see benchmarks/sparse.py."""

    def sparse_forward(
        self, x: SparseBatch, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Compute product, bias and activation of a row on one core."""
        if not usual(W, b, y, x.values):
            return super().sparse_forward(x, W, b, y, kind, alpha)
        fused = FORWARD[y.itemsize].get(kind, IDENTITY)
        tiles = numbers(self._tiles(x, W.shape[1]))
        team_sparse_forward(tiles, x.starts, x.columns, x.values, W, b, y, fused)
        if not fused and kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        return y

    def sparse_backward(
        self, dy: Array, x: SparseBatch, sums: Array, db: Array, kind: str = "identity", alpha: float = 0.0,
        y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Sum the used columns with all threads."""
        by_column = x.by_column
        if not usual(sums, dy, dz, by_column.values):
            return super().sparse_backward(dy, x, sums, db, kind, alpha, y, dz)
        if kind != "identity":
            dy = self.activation_backward(kind, dy, None, y, dz, alpha)
        db[...] = self._column_sums(dy)
        _, starts, rows, values = by_column
        tiles = numbers(self._tiles(x, sums.shape[1]))
        team_sparse_backward(tiles, starts, rows, values, dy, sums, sums.dtype.type(0))
        return sums

    def _tiles(self, x: SparseBatch, units: int) -> int:
        """Return into how many tiles a pass is divided."""
        return self.threads if x.values.size * units >= SMALL_ARRAY else 1
