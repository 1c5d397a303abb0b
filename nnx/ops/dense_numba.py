"""Compiled forms of dense.py.

Each segment of the rows has its own matrix product, on one thread. Bias, activation and gradients follow
while the rows are still in that core's cache. The functions that begin with ``small_`` are for the compiled
loop in `small_network_numba`, whose layers are only a few numbers wide.
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
from nnx.ops.base_numba import Compiled, inner, team, usual
from nnx.ops.dense import DenseNumPy
from nnx.ops.products_numba import product
from nnx.ops.share_numba import share

ROWS = 128  # so many are summed one by one
SMALL_PRODUCT = 2**18  # multiplications: up to this size NumPy's OpenBLAS uses one thread too
# The activations that these kernels compute, by the size of an item; the others need a separate pass.
FORWARD = {4: {"relu": RELU, "sigmoid": SIGMOID}, 8: {"relu": RELU}}
BACKWARD = {"relu": RELU, "sigmoid": SIGMOID, "tanh": TANH}


@inner
def forward_rows(x: Array, y: Array, gemm: int, W: Array, b: Array, kind: int) -> None:
    """y = f(x W + b); f is the identity, ReLU, or the sigmoid in float32. If `gemm` is 0, y contains x W."""
    if gemm:
        product(gemm, x, W, y, False, False)
    for row in range(y.shape[0]):
        if kind == RELU:
            for j in range(y.shape[1]):
                y[row, j] = relu(y[row, j] + b[j])
        elif kind == SIGMOID:
            for j in range(y.shape[1]):
                y[row, j] = sigmoid_float32(y[row, j] + b[j])
        else:
            for j in range(y.shape[1]):
                y[row, j] += b[j]


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
    rows = max(ROWS, int(math.sqrt(dz.shape[0])))
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
def weight_rows(inputs: Array, dW: Array, gemm: int, dz: Array) -> None:
    """Compute rows of dW = xᵀ dz; `inputs` are the same rows of xᵀ."""
    product(gemm, inputs.T, dz, dW, True, False)


@team
def team_dense_forward(gemm: int, x: Array, W: Array, b: Array, y: Array, kind: int, segments: int) -> None:
    """Compute the rows of y = f(x W + b) of each segment in parallel; see `forward_rows`."""
    share(forward_rows, (x, y), (gemm, W, b, kind), segments)


@team
def team_dense_backward(
    gemm: int, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array, y: Array, dz: Array,
    partial: Array, kind: int, wants_dx: bool, segments: int,
) -> None:  # fmt: skip
    """Compute the rows of dz and dx of each segment in parallel, and after that the rows of dW = xᵀ dz.

    If `gemm` is 0, there are no products, and dW and dx do not change.
    """
    share(backward_rows, (dy, y, dz, dx, partial), (gemm, W, kind, wants_dx), segments)
    for j in range(db.size):
        db[j] = partial[0, 0, j]
    for index in range(1, segments):
        for j in range(db.size):
            db[j] += partial[index, 0, j]
    if gemm:
        share(weight_rows, (x.T, dW), (gemm, dz), segments)


class DenseNumba(Compiled, DenseNumPy):
    """A dense layer that computes product, bias and activation of a segment's rows on one core."""

    def dense_forward(
        self, x: Array, W: Array, b: Array, y: Array, kind: str = "identity", alpha: float = 0.0
    ) -> Array:
        """Compute product, bias and activation of a segment on one core; see benchmarks/operations.py."""
        if not usual(W, x, y):
            return super().dense_forward(x, W, b, y, kind, alpha)
        fused = FORWARD[y.itemsize].get(kind, IDENTITY)
        if self.blas is not None and len(x) * W.size > SMALL_PRODUCT:
            team_dense_forward(self.blas.gemm[y.itemsize], x, W, b, y, fused, self._segments(len(x)))
        else:
            np.matmul(x, W, out=y)
            team_dense_forward(0, x, W, b, y, fused, 1)
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
        large = self.blas is not None and len(x) * W.size > SMALL_PRODUCT
        gemm, segments = (self.blas.gemm[dW.itemsize], self._segments(len(x))) if large else (0, 1)
        team_dense_backward(
            gemm, dy, x, W, dW, db, dz if dx is None else dx, y, dz,
            self._scratch((segments, 2, len(db)), db.dtype), fused, large and dx is not None, segments,
        )  # fmt: skip
        return dW if large else self._products(x, W, dz, dW, dx)


@inner
def small_forward(x: Array, block: Array, y: Array, rows: int, kind: int, alpha: float) -> None:
    """y = f(x W + b); x and y are flat, W and b are the rows of `block`."""
    inputs, units = block.shape[0] - 1, block.shape[1]
    for row in range(rows):
        out = y[row * units : (row + 1) * units]
        for j in range(units):
            out[j] = block[inputs, j]
        for k in range(inputs):
            factor = x[row * inputs + k]
            for j in range(units):
                out[j] += factor * block[k, j]
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
    dy: Array, x: Array, block: Array, dblock: Array, dx: Array, y: Array, rows: int, kind: int, alpha: float,
    wants_dx: bool,
) -> None:  # fmt: skip
    """dz = dy ∘ f' (written into dy); dW = xᵀ dz, db = Σ_rows dz, dx = dz Wᵀ."""
    units = block.shape[1]
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
    if rows <= ROWS:
        small_products(dy, x, block, dblock, dx, 0, rows, wants_dx)
        return
    dblock[:, :] = zero  # sum many rows in blocks, or rounding errors grow with their number
    some = np.empty_like(dblock)
    for low in range(0, rows, ROWS):
        small_products(dy, x, block, some, dx, low, min(low + ROWS, rows), wants_dx)
        dblock += some


@inner
def small_products(
    dz: Array, x: Array, block: Array, dblock: Array, dx: Array, low: int, high: int, wants_dx: bool
) -> None:
    """Compute dW and db of the rows `low` to `high`, and the dx of these rows."""
    inputs, units = block.shape[0] - 1, block.shape[1]
    zero = x.dtype.type(0)
    dblock[:, :] = zero
    for row in range(low, high):
        own = dz[row * units : (row + 1) * units]
        for k in range(inputs):
            factor = x[row * inputs + k]
            total = zero
            for j in range(units):
                dblock[k, j] += factor * own[j]
                total += own[j] * block[k, j]
            if wants_dx:
                dx[row * inputs + k] = total
        for j in range(units):
            dblock[inputs, j] += own[j]
