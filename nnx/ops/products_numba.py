"""Matrix products inside compiled kernels, each on one thread, by the private BLAS of nnx."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnx.ops.base import Array
from nnx.ops.base_numba import inner

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # constants of CBLAS


@intrinsic  # type: ignore[untyped-decorator]
def _cblas_gemm(
    _: Any, address: Any, transpose_a: Any, transpose_b: Any, sizes: Any, a: Any, b: Any, c: Any,
    strides: Any, like: Any,
) -> Any:  # fmt: skip
    """Call cblas_?gemm at `address` with α = 1, β = 0; a, b, c are addresses, `like` determines the type."""
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
    """Return the distance between rows, in numbers; an array of one row may have any stride, even 0."""
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
