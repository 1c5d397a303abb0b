"""Compiled forms of dense.py.

Each tile of a matrix product is computed on one thread (`parts` divides it). Bias, activation and gradients
follow while the tile is still in the cache of that core. The functions that begin with ``small_`` are for
the compiled loop in `small_network_numba`, whose layers are only a few numbers wide.
"""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.activations_numba import (
    IDENTITY,
    LEAKY_RELU,
    RELU,
    SIGMOID,
    TANH,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    sigmoid_float32,
    tanh_backward,
)  # fmt: skip
from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, inner, numbers, team, usual
from nnx.ops.dense import DenseNumPy
from nnx.ops.parts import LINE, tiles
from nnx.ops.products_numba import product
from nnx.ops.share_numba import share

ROWS = 128  # so many are summed one by one
# The activations that these kernels compute, by the size of an item; the others need a separate pass.
FORWARD = {4: {"relu": RELU, "sigmoid": SIGMOID}, 8: {"relu": RELU}}
BACKWARD = {"relu": RELU, "sigmoid": SIGMOID, "tanh": TANH}


@inner
def bounds(index: int, parts: int, size: int) -> tuple[int, int]:
    """Return where a part of rows or columns starts and ends: at multiples of a cache line."""
    lines = size // LINE
    low, high = index * lines // parts * LINE, (index + 1) * lines // parts * LINE
    return low, size if index + 1 == parts else high


@inner
def forward_tile(
    numbers: Array, gemm: int, x: Array, W: Array, b: Array, y: Array, kind: int, rows: int, columns: int
) -> None:
    """Compute tile ``numbers[0]`` of y = f(x W + b); f is the identity, ReLU, or the sigmoid in float32.

    If `gemm` is 0, y contains x W.
    """
    top, bottom = bounds(numbers[0] // columns, rows, y.shape[0])
    low, high = bounds(numbers[0] % columns, columns, y.shape[1])
    if gemm:
        product(gemm, x[top:bottom], W[:, low:high], y[top:bottom, low:high], False, False)
    bias = b[low:high]
    for row in range(top, bottom):
        out = y[row, low:high]
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
def backward_rows(
    dy: Array, y: Array, dz: Array, dx: Array, partial: Array, gemm: int, W: Array, kind: int, wants_dx: bool
) -> None:
    """dz = dy ∘ f' with f' written in y (for the identity, dz is dy and only read); dx = dz Wᵀ.

    ``partial[0, 0]`` is Σ_rows dz. Many rows are summed in blocks of about √rows, so that rounding errors
    grow only like √rows. ``partial[0, 1]`` is memory for one block.
    """
    db, block = partial[0, 0], partial[0, 1]
    zero = dz.dtype.type(0)
    rows = ROWS  # or √rows if that is larger; max() and int() would take longer to compile
    while (rows + 1) * (rows + 1) <= dz.shape[0]:
        rows += 1
    for j in range(db.size):
        db[j] = zero
        block[j] = zero
    for row in range(dz.shape[0]):
        if row % rows == 0 and row:
            for j in range(db.size):
                db[j] += block[j]
                block[j] = zero
        if kind == RELU:
            for j in range(dz.shape[1]):
                dz[row, j] = relu_backward(dy[row, j], y[row, j])
        elif kind == SIGMOID:
            for j in range(dz.shape[1]):
                dz[row, j] = sigmoid_backward(dy[row, j], y[row, j])
        elif kind == TANH:
            for j in range(dz.shape[1]):
                dz[row, j] = tanh_backward(dy[row, j], y[row, j])
        for j in range(dz.shape[1]):
            block[j] += dz[row, j]
    for j in range(db.size):
        db[j] += block[j]
    if wants_dx:
        product(gemm, dz, W, dx, False, True)


@inner
def product_tile(
    numbers: Array, gemm: int, a: Array, b: Array, c: Array, transpose_a: bool, rows: int, columns: int
) -> None:
    """Compute tile ``numbers[0]`` of c = aᵀ b, or else of c = a bᵀ."""
    top, bottom = bounds(numbers[0] // columns, rows, c.shape[0])
    low, high = bounds(numbers[0] % columns, columns, c.shape[1])
    some = c[top:bottom, low:high]
    if transpose_a:
        product(gemm, a[:, top:bottom], b[:, low:high], some, True, False)
    else:
        product(gemm, a[top:bottom, :], b[low:high, :], some, False, True)


@team
def team_dense_forward(
    numbers: Array, gemm: int, x: Array, W: Array, b: Array, y: Array, kind: int, rows: int, columns: int
) -> None:
    """Compute the tiles 0, 1, … of `numbers` of y = f(x W + b) in parallel; see `forward_tile`."""
    share(forward_tile, (numbers,), (gemm, x, W, b, y, kind, rows, columns), numbers.size)


@team
def team_dense_backward(
    gemm: int, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array, y: Array, dz: Array,
    partial: Array, kind: int, wants_dx: bool, input_tiles: Array, input_columns: int, weight_tiles: Array,
    weight_columns: int,
) -> None:  # fmt: skip
    """Compute the rows of dz in parallel, and after that tiles of dx = dz Wᵀ and dW = xᵀ dz.

    If `input_tiles` is empty, dx is computed with dz, while its rows are in the cache of the same core. If
    `weight_tiles` is empty, there are no products, and dW and dx do not change.
    """
    segments = len(partial)
    by_rows = wants_dx and input_tiles.size == 0
    share(backward_rows, (dy, y, dz, dx, partial), (gemm, W, kind, by_rows), segments)
    for j in range(db.size):
        db[j] = partial[0, 0, j]
    for index in range(1, segments):
        for j in range(db.size):
            db[j] += partial[index, 0, j]
    if input_tiles.size:
        rows = input_tiles.size // input_columns
        share(product_tile, (input_tiles,), (gemm, dz, W, dx, False, rows, input_columns), input_tiles.size)
    if weight_tiles.size:
        rows = weight_tiles.size // weight_columns
        share(product_tile, (weight_tiles,), (gemm, x, dz, dW, True, rows, weight_columns), weight_tiles.size)


class DenseNumba(Compiled, DenseNumPy):
    """A dense layer that computes product, bias and activation of a segment's rows on one core."""

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Compute product, bias and activation of a segment on one core; see benchmarks/operations.py."""
        if not usual(W, x, y):
            return super().dense_forward(x, W, b, y, kind, alpha)
        fused = FORWARD[y.itemsize].get(kind, IDENTITY)
        if self.blas is None:
            np.matmul(x, W, out=y)
            gemm, rows, columns = 0, 1, 1
        else:
            gemm = self.blas.gemm[y.itemsize]
            rows, columns = tiles(len(x), W.shape[1], len(W), self.threads)
        team_dense_forward(numbers(rows * columns), gemm, x, W, b, y, fused, rows, columns)
        if not fused and kind != "identity":
            self.activation_forward(kind, y, y, alpha)
        return y

    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array | None,
        kind: str = "identity", alpha: float = 0.0, y: Array | None = None, dz: Array | None = None,
    ) -> Array:  # fmt: skip
        """Compute dz, db and dx of a segment on one core; see benchmarks/operations.py."""
        if not usual(W, dy, x, dW, dx, y, dz):
            return super().dense_backward(dy, x, W, dW, db, dx, kind, alpha, y, dz)
        fused = BACKWARD.get(kind, IDENTITY)
        if not fused:  # then the kernel only reads dz
            if kind != "identity":
                dy = self.activation_backward(kind, dy, None, y, dz, alpha)
            y = dz = dy
        assert dz is not None
        if self.blas is None:
            self._backward(0, dy, x, W, dW, db, None, y, dz, fused)
            return self._products(x, W, dz, dW, dx)
        self._backward(self.blas.gemm[dW.itemsize], dy, x, W, dW, db, dx, y, dz, fused)
        return dW

    def _backward(
        self, gemm: int, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array | None, y: Array,
        dz: Array, kind: int,
    ) -> None:  # fmt: skip
        """Divide the work; without a BLAS, compute only dz and db."""
        rows, (inputs, units) = len(x), W.shape
        segments, input_columns, of_weights = 1, 1, (0, 1)
        if gemm:
            segments, input_columns = tiles(rows, inputs, units, self.threads)
            of_weights = tiles(inputs, units, rows, self.threads)
        of_inputs = segments * input_columns if input_columns > 1 and dx is not None else 0
        if input_columns > 1:
            segments = self._segments(rows) if dz.size >= SMALL_ARRAY else 1
        team_dense_backward(
            gemm, dy, x, W, dW, db, dz if dx is None else dx, y, dz,
            self._scratch((segments, 2, units), db.dtype), kind, dx is not None,
            numbers(of_inputs), input_columns, numbers(of_weights[0] * of_weights[1]), of_weights[1],
        )  # fmt: skip


@inner
def small_forward(
    x: Array, block: Array, y: Array, rows: int, inputs: int, units: int, kind: int, alpha: float
) -> None:
    """y = f(x W + b); all arrays are flat, and `block` is W with b as its last row."""
    bias = inputs * units
    for row in range(rows):
        out = y[row * units : (row + 1) * units]
        for j in range(units):
            out[j] = block[bias + j]
        for k in range(inputs):
            factor, weights = x[row * inputs + k], block[k * units : (k + 1) * units]
            for j in range(units):
                out[j] += factor * weights[j]
        for j in range(units):
            z = out[j]
            if kind == RELU:
                out[j] = relu(z)
            elif kind == LEAKY_RELU:
                out[j] = leaky_relu(z, alpha)
            elif kind == TANH:
                out[j] = math.tanh(z)
            elif kind == SIGMOID:
                out[j] = sigmoid(z)


@inner
def small_backward(
    dy: Array, x: Array, block: Array, dblock: Array, dx: Array, y: Array, rows: int, inputs: int, units: int,
    kind: int, alpha: float, wants_dx: bool,
) -> None:  # fmt: skip
    """dz = dy ∘ f' (written into dy); dW = xᵀ dz, db = Σ_rows dz, dx = dz Wᵀ; all arrays are flat."""
    zero = x.dtype.type(0)
    for index in range(rows * units):
        value = y[index]
        if kind == RELU:
            dy[index] = relu_backward(dy[index], value)
        elif kind == LEAKY_RELU:
            dy[index] = leaky_relu_backward(dy[index], value, alpha)
        elif kind == TANH:
            dy[index] = tanh_backward(dy[index], value)
        elif kind == SIGMOID:
            dy[index] = sigmoid_backward(dy[index], value)
    # many rows are summed in blocks, or rounding errors would grow with their number
    some = np.empty(dblock.size, dblock.dtype) if rows > ROWS else dblock
    for low in range(0, rows, ROWS):
        for index in range(some.size):
            some[index] = zero
        for row in range(low, rows if rows < low + ROWS else low + ROWS):
            dz = dy[row * units : (row + 1) * units]
            for k in range(inputs):
                factor, start = x[row * inputs + k], k * units
                sums, weights = some[start : start + units], block[start : start + units]
                total = zero
                for j in range(units):
                    sums[j] += factor * dz[j]
                    total += dz[j] * weights[j]
                if wants_dx:
                    dx[row * inputs + k] = total
            sums = some[inputs * units :]
            for j in range(units):
                sums[j] += dz[j]
        if rows > ROWS:
            for index in range(some.size):
                dblock[index] = some[index] + (dblock[index] if low > 0 else zero)
