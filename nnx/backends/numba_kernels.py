"""Compiled kernels for the CPU: one pass over the data for what NumPy does in several.

A kernel first stands for a part of the rows (or of a flat buffer), then, under the same name with ``team_``
in front, as a loop over parts that Numba's threads share. A part is fixed by its number alone, so the same
number of parts gives the same result however threads take them. In a dense layer each part runs its own
matrix product on one thread, and what surrounds it while its rows are still in that core's cache.

Rules that make a loop vectorize here: it runs from 0 to the size of a slice (an index that could be negative
costs a branch), divisions do not look for zero (``error_model="numpy"``), sums say that they may be
reassociated, and NaN passes through every comparison (``x if not x <= 0 else 0``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from nnx.backends.numba_cache import CheckedCache

Array = Any
Scalar = Any
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # of CBLAS
IDENTITY, RELU, SIGMOID, TANH = range(4)  # the activations that a dense layer's kernels know
ROWS = 128  # that are summed one by one
NUMBERS = 8192  # that are summed in their own type; what comes of them is added in float64
COLUMNS = 512  # of factors 1 + e^-|z| ≤ 2, whose product then fits into a float64


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile at the first call, and keep the code on disk where a place for it can be written."""

    def decorate(function: Callable[..., Any]) -> Any:
        chosen = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}} | options
        chosen["no_cfunc_wrapper"] = True  # for C, which nobody calls these from
        try:
            dispatcher = numba.njit(cache=True, **chosen)(function)
        except RuntimeError:  # no folder to cache in: neither beside this file nor the user's own
            return numba.njit(**chosen)(function)
        dispatcher._cache = CheckedCache(dispatcher._cache)
        return dispatcher

    return decorate


part = compiled()
inner = compiled(no_cpython_wrapper=True)  # called by other kernels only
part_sum = compiled(fastmath={"contract", "reassoc"})
# Only the loop over parts is shared among threads: Numba would make a team of every array expression too.
NOT_SHARED = ("setitem", "numpy", "reduction", "comprehension", "stencil", "fusion", "inplace_binop")
team = compiled(parallel=dict.fromkeys(NOT_SHARED, False) | {"prange": True})


# ----------------------------------------------------------------------- matrix products


@intrinsic  # type: ignore[untyped-decorator]
def _cblas_gemm(
    _: Any, address: Any, transpose_a: Any, transpose_b: Any, sizes: Any, a: Any, b: Any, c: Any,
    strides: Any, like: Any,
) -> Any:  # fmt: skip
    """Call cblas_?gemm at `address` with α = 1, β = 0; a, b and c are addresses, `like` gives the type."""
    integer = types.int32
    signature = types.void(
        types.intp, integer, integer, types.UniTuple(integer, 3), types.intp, types.intp, types.intp,
        types.UniTuple(integer, 3), like,
    )  # fmt: skip

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, transpose_a, transpose_b, sizes, a, b, c, strides, _ = arguments
        number = ir.FloatType() if signature.args[-1].dtype == types.float32 else ir.DoubleType()
        i32, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        function = ir.FunctionType(
            ir.VoidType(),
            [i32] * 6 + [number, pointer, i32, pointer, i32, number, pointer, i32],
        )  # fmt: skip
        m, n, k = (builder.extract_value(sizes, index) for index in range(3))
        lda, ldb, ldc = (builder.extract_value(strides, index) for index in range(3))
        a, b, c = (builder.inttoptr(place, pointer) for place in (a, b, c))
        layout = [i32(ROW_MAJOR), transpose_a, transpose_b, m, n, k]
        operands = [number(1.0), a, lda, b, ldb, number(0.0), c, ldc]
        builder.call(builder.inttoptr(address, function.as_pointer()), layout + operands)
        return context.get_dummy_value()

    return signature, generate


@inner
def _distance(a: Array, size: int) -> Any:
    """From one row to the next, in numbers; an array of one row may state any, 0 included."""
    return np.int32(max(a.strides[0] // size, a.shape[1]))


@inner
def product(gemm: int, a: Array, b: Array, c: Array, transpose_a: bool, transpose_b: bool) -> None:
    """c = op(a) op(b) for arrays whose rows are contiguous, at any distance from each other."""
    size = c.itemsize
    inner = a.shape[0] if transpose_a else a.shape[1]
    _cblas_gemm(
        gemm,
        np.int32(TRANSPOSED if transpose_a else PLAIN),
        np.int32(TRANSPOSED if transpose_b else PLAIN),
        (np.int32(c.shape[0]), np.int32(c.shape[1]), np.int32(inner)),
        a.ctypes.data, b.ctypes.data, c.ctypes.data,
        (_distance(a, size), _distance(b, size), _distance(c, size)),
        c,
    )  # fmt: skip


# --------------------------------------------------------------------------- dense layers


@inner
def _exp(x: Scalar) -> Scalar:
    """e^x for x ≤ 0 in float32, in steps that vectorize; NaN stays NaN.

    x = n log 2 + r with |r| ≤ log(2)/2, log 2 in two parts so that r is exact, and e^r by the polynomial of
    Cephes' ``expf`` (Moshier, 1989). Below −87.7 the result would not be a normal number: n is −127, and 2^n
    is 0 in its bits.
    """
    f = np.float32
    x = f(-88.0) if x < f(-88.0) else x
    n = np.floor(x * f(1.44269504088896341) + f(0.5))
    r = x - n * f(0.693359375) + n * f(2.12194440e-4)
    p = f(1.9875691500e-4)
    p = p * r + f(1.3981999507e-3)
    p = p * r + f(8.3334519073e-3)
    p = p * r + f(4.1665795894e-2)
    p = p * r + f(1.6666665459e-1)
    p = p * r + f(5.0000001201e-1)
    p = p * r * r + r + f(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@inner
def _sigmoid(z: Scalar) -> Scalar:
    """σ(z) in float32, by e^−|z|, which does not overflow."""
    e = _exp(-abs(z))
    return (np.float32(1.0) if z >= np.float32(0.0) else e) / (np.float32(1.0) + e)


@part
def add_bias(y: Array, b: Array, kind: int) -> None:
    """y = f(y + b); the sigmoid in float32 only, and tanh not at all."""
    zero = y.dtype.type(0)
    for row in range(y.shape[0]):
        if kind == RELU:
            for j in range(y.shape[1]):
                z = y[row, j] + b[j]
                y[row, j] = z if not z <= zero else zero
        elif kind == SIGMOID:
            for j in range(y.shape[1]):
                y[row, j] = _sigmoid(y[row, j] + b[j])
        else:
            for j in range(y.shape[1]):
                y[row, j] += b[j]


@part
def bias_gradient(dy: Array, y: Array, dz: Array, db: Array, block: Array, kind: int) -> None:
    """dz = dy ∘ f', f' written in y (the identity's dz is dy, and only read); db = Σ_rows dz.

    Many rows are summed in blocks of about √rows, in `block` of db's shape: rounding grows as slowly.
    """
    zero, one = dz.dtype.type(0), dz.dtype.type(1)
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
                dz[row, j] = dy[row, j] if y[row, j] > zero else zero
        elif kind == SIGMOID:
            for j in range(dz.shape[1]):
                dz[row, j] = dy[row, j] * (y[row, j] * (one - y[row, j]))
        elif kind == TANH:
            for j in range(dz.shape[1]):
                dz[row, j] = dy[row, j] * (one - y[row, j] * y[row, j])
        for j in range(dz.shape[1]):
            block[j] += dz[row, j]
    for j in range(db.size):
        db[j] += block[j]


@inner
def sum_rows(partial: Array, db: Array) -> None:
    """db = Σ_rows of what the parts found, in their order."""
    for j in range(db.size):
        db[j] = partial[0, 0, j]
    for row in range(1, partial.shape[0]):
        for j in range(db.size):
            db[j] += partial[row, 0, j]


@team
def team_dense_forward(gemm: int, x: Array, W: Array, b: Array, y: Array, kind: int, parts: int) -> None:
    """Each part's rows of y = f(x W + b)."""
    for index in prange(parts):
        low, high = index * len(x) // parts, (index + 1) * len(x) // parts
        product(gemm, x[low:high], W, y[low:high], False, False)
        add_bias(y[low:high], b, kind)


@team
def team_dense_backward(
    gemm: int, dy: Array, x: Array, W: Array, dW: Array, db: Array, dx: Array, y: Array, dz: Array,
    partial: Array, kind: int, wants_dx: bool, parts: int,
) -> None:  # fmt: skip
    """Each part's rows of dz and dx; then, when all are there, its rows of dW = xᵀ dz."""
    for index in prange(parts):
        low, high = index * len(x) // parts, (index + 1) * len(x) // parts
        bias_gradient(dy[low:high], y[low:high], dz[low:high], partial[index, 0], partial[index, 1], kind)
        if wants_dx:
            product(gemm, dz[low:high], W, dx[low:high], False, True)
    for index in prange(parts):
        low, high = index * len(W) // parts, (index + 1) * len(W) // parts
        product(gemm, x[:, low:high], dz, dW[low:high], True, False)
        if index == 0:
            sum_rows(partial, db)


@inner
def copy_rows(source: Array, indices: Array, out: Array) -> None:
    """out[i] = source[indices[i]]."""
    for row in range(indices.size):
        origin, target = source[indices[row]], out[row]
        for j in range(target.size):
            target[j] = origin[j]


@team
def team_gather(source: Array, indices: Array, out: Array, parts: int) -> None:
    """Each part's rows."""
    for index in prange(parts):
        low, high = index * len(out) // parts, (index + 1) * len(out) // parts
        copy_rows(source, indices[low:high], out[low:high])


@inner
def divide_rows(source: Array, indices: Array, out: Array, divisor: Scalar) -> None:
    """out[i] = source[indices[i]] / divisor, in out's type."""
    for row in range(indices.size):
        origin, target = source[indices[row]], out[row]
        for j in range(target.size):
            target[j] = out.dtype.type(origin[j]) / divisor


@team
def team_gather_bytes(source: Array, indices: Array, out: Array, divisor: Scalar, parts: int) -> None:
    """Each part's rows."""
    for index in prange(parts):
        low, high = index * len(out) // parts, (index + 1) * len(out) // parts
        divide_rows(source, indices[low:high], out[low:high], divisor)


# --------------------------------------------------------------------------------- losses


@part_sum
def squared_error(y: Array, p: Array, dy: Array, factor: Scalar) -> Scalar:
    """Σ (p − y)²; dy = 2 factor (p − y)."""
    twice = p.dtype.type(2) * factor
    total = 0.0
    for row in range(p.shape[0]):
        squares = p.dtype.type(0)
        for j in range(p.shape[1]):
            e = p[row, j] - y[row, j]
            squares += e * e
            dy[row, j] = e * twice
        total += squares
    return total


@part_sum
def binary_cross_entropy(y: Array, z: Array, dy: Array, factor: Scalar) -> Scalar:
    """Σ max(z, 0) − y z + log(1 + e^−|z|) in float32; dy = factor (σ(z) − y).

    The logarithms of up to 512 numbers are one logarithm of their product, which float64 holds.
    """
    f = np.float32
    total = 0.0
    for row in range(z.shape[0]):
        for start in range(0, z.shape[1], COLUMNS):
            some, targets = z[row, start : start + COLUMNS], y[row, start : start + COLUMNS]
            gradient = dy[row, start : start + COLUMNS]
            linear: Scalar = f(0.0)
            factors = 1.0
            for j in range(some.size):
                a = some[j]
                e = _exp(-abs(a))
                linear += (a if not a <= f(0.0) else f(0.0)) - targets[j] * a
                factors *= 1.0 + e  # in float64: in float32 a small e would be lost
                gradient[j] = ((f(1.0) if a >= f(0.0) else e) / (f(1.0) + e) - targets[j]) * factor
            total += linear + math.log(factors)
    return total


@part_sum
def categorical_cross_entropy(y: Array, z: Array, dy: Array, factor: Scalar) -> Scalar:
    """Σ_rows Σ_j y_j (log Σ_k e^z_k − z_j) in float32; dy = factor (softmax(z) Σ_j y_j − y)."""
    f = np.float32
    total = 0.0
    for row in range(z.shape[0]):
        top = z[row, 0]
        for j in range(1, z.shape[1]):
            top = top if top >= z[row, j] else z[row, j]
        sums: Scalar = f(0.0)
        mass: Scalar = f(0.0)
        picked: Scalar = f(0.0)
        for j in range(z.shape[1]):
            shifted = z[row, j] - top
            e = _exp(shifted)
            dy[row, j] = e
            sums += e
            mass += y[row, j]
            picked += y[row, j] * shifted
        if not math.isfinite(picked):  # a difference that overflowed counts for nothing where y_j = 0
            picked = f(0.0)
            for j in range(z.shape[1]):
                picked += y[row, j] * (z[row, j] - top) if y[row, j] != f(0.0) else f(0.0)
        share = mass / sums
        for j in range(z.shape[1]):
            dy[row, j] = (dy[row, j] * share - y[row, j]) * factor
        total += mass * math.log(sums) - picked
    return total


@team
def team_squared_error(y: Array, p: Array, dy: Array, factor: Scalar, totals: Array, parts: int) -> None:
    """Each part's rows, and in `totals` each part's sum."""
    for index in prange(parts):
        low, high = index * len(p) // parts, (index + 1) * len(p) // parts
        totals[index] = squared_error(y[low:high], p[low:high], dy[low:high], factor)


@team
def team_binary_cross_entropy(
    y: Array, z: Array, dy: Array, factor: Scalar, totals: Array, parts: int
) -> None:
    """As `team_squared_error`."""
    for index in prange(parts):
        low, high = index * len(z) // parts, (index + 1) * len(z) // parts
        totals[index] = binary_cross_entropy(y[low:high], z[low:high], dy[low:high], factor)


# ----------------------------------------------------------------------------- optimizers


@part
def sgd(w: Array, g: Array, rate: Scalar, shrink: Scalar, l2: Scalar) -> None:
    """w = shrink w − rate (g + l2 w)."""
    for i in range(w.size):
        w[i] = w[i] * shrink - rate * (g[i] + l2 * w[i])


@part
def adam(
    w: Array, g: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar, epsilon: Scalar,
    shrink: Scalar, l2: Scalar,
) -> None:  # fmt: skip
    """As `Backend.adam_step`: c1 = 1 − β₁, c2 = 1 − β₂, `rate` with both corrections."""
    for i in range(w.size):
        gradient = g[i] + l2 * w[i]
        mean = m[i] + c1 * (gradient - m[i])
        square = v[i] + c2 * (gradient * gradient - v[i])
        m[i] = mean
        v[i] = square
        w[i] = w[i] * shrink - rate * mean / (math.sqrt(square) + epsilon)


@part_sum
def sum_of_squares(g: Array) -> Scalar:
    """Σ g², block by block in g's type: infinite where it does not fit."""
    total = 0.0
    for start in range(0, g.size, NUMBERS):
        some = g[start : start + NUMBERS]
        squares = g.dtype.type(0)
        for i in range(some.size):
            squares += some[i] * some[i]
        total += squares
    return total


@team
def team_sgd(w: Array, g: Array, rate: Scalar, shrink: Scalar, l2: Scalar, parts: int) -> None:
    """Each part of the flat buffers."""
    for index in prange(parts):
        low, high = index * w.size // parts, (index + 1) * w.size // parts
        sgd(w[low:high], g[low:high], rate, shrink, l2)


@team
def team_adam(
    w: Array, g: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar, epsilon: Scalar,
    shrink: Scalar, l2: Scalar, parts: int,
) -> None:  # fmt: skip
    """Each part of the flat buffers."""
    for index in prange(parts):
        low, high = index * w.size // parts, (index + 1) * w.size // parts
        adam(w[low:high], g[low:high], m[low:high], v[low:high], rate, c1, c2, epsilon, shrink, l2)


@team
def team_sum_of_squares(g: Array, totals: Array, parts: int) -> None:
    """In `totals` the sum of each part."""
    for index in prange(parts):
        totals[index] = sum_of_squares(g[index * g.size // parts : (index + 1) * g.size // parts])
