"""Matrix products inside compiled kernels, each on one thread, by the BLAS of `nnx.backends.blas`."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nnx.ops.base import Array
from nnx.ops.base_numba import inner

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # constants of CBLAS
# Bits of sizes. MKL reads 64, OpenBLAS 32; on x86-64 the 64 bits of a small number are right for both.
BITS = 64 if platform.machine() in ("x86_64", "AMD64") else 32
SIZE = np.int64 if BITS == 64 else np.int32


@intrinsic  # type: ignore[untyped-decorator]
def _cblas_gemm(
    _: Any, address: Any, transpose_a: Any, transpose_b: Any, sizes: Any, a: Any, b: Any, c: Any,
    strides: Any, like: Any,
) -> Any:  # fmt: skip
    """Call cblas_?gemm at `address` with α = 1, β = 0; a, b, c are addresses, `like` determines the type."""
    integer, sizes_type = types.int32, types.UniTuple(types.int64 if BITS == 64 else types.int32, 3)
    signature = types.void(
        types.intp, integer, integer, sizes_type, types.intp, types.intp, types.intp, sizes_type, like
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, transpose_a, transpose_b, sizes, a, b, c, strides, _ = arguments
        number = ir.FloatType() if signature.args[-1].dtype == types.float32 else ir.DoubleType()
        i32, size, pointer = ir.IntType(32), ir.IntType(BITS), ir.IntType(8).as_pointer()
        function = ir.FunctionType(
            ir.VoidType(),
            [i32] * 3 + [size] * 3 + [number, pointer, size, pointer, size, number, pointer, size],
        )
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
    return SIZE(max(a.strides[0] // size, a.shape[1]))


@inner
def product(gemm: int, a: Array, b: Array, c: Array, transpose_a: bool, transpose_b: bool) -> None:
    """c = op(a) op(b) for arrays whose rows are contiguous, at any distance from each other."""
    size = c.itemsize
    inner = a.shape[0] if transpose_a else a.shape[1]
    _cblas_gemm(
        gemm,
        np.int32(TRANSPOSED if transpose_a else PLAIN),
        np.int32(TRANSPOSED if transpose_b else PLAIN),
        (SIZE(c.shape[0]), SIZE(c.shape[1]), SIZE(inner)),
        a.ctypes.data, b.ctypes.data, c.ctypes.data,
        (_distance(a, size), _distance(b, size), _distance(c, size)),
        c,
    )  # fmt: skip
