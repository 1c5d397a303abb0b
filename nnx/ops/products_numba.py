"""Matrix products inside compiled kernels, each on one thread, by the private BLAS of nnx."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # constants of CBLAS
# Bits of sizes. MKL reads 64, OpenBLAS 32; on x86-64 the 64 bits of a small number are right for both.
BITS = 64 if platform.machine() in ("x86_64", "AMD64") else 32


def _multiplier(beta: float) -> Any:
    """Return an operation of compiled code, c = op(a) op(b) + β c, for arrays whose rows are contiguous.

    The rows may have any distance from each other. `gemm` is the address of cblas_sgemm or cblas_dgemm, or of
    cblas_gemm_bf16bf16f32 if a and b are bits of bfloat16 numbers (uint16) and c is float32. The call is
    written in the compiler's own terms, because the same in Python takes several times as long to compile.
    """

    def typed(_: Any, gemm: Any, a: Any, b: Any, c: Any, transpose_a: Any, transpose_b: Any) -> Any:
        return types.void(types.intp, a, b, c, types.boolean, types.boolean), generate

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, *matrices, transpose_a, transpose_b = arguments
        i32, size, pointer = ir.IntType(32), ir.IntType(BITS), cgutils.voidptr_t
        number = context.get_value_type(signature.args[3].dtype)
        shapes, operands = [], []
        for kind, value in zip(signature.args[1:4], matrices, strict=True):
            matrix = context.make_array(kind)(context, builder, value)
            rows, columns = cgutils.unpack_tuple(builder, matrix.shape)
            # the distance between rows, in numbers; an array of one row may have any stride, even 0
            distance = builder.sdiv(builder.extract_value(matrix.strides, 0), matrix.itemsize)
            longer = builder.icmp_signed(">", distance, columns)
            distance = builder.select(longer, distance, columns)
            shapes.append((rows, columns))
            operands += [builder.bitcast(matrix.data, pointer), builder.trunc(distance, size)]
        inner = builder.select(transpose_a, *shapes[0])
        sizes = [builder.trunc(length, size) for length in (*shapes[2], inner)]
        forms = [builder.select(flag, i32(TRANSPOSED), i32(PLAIN)) for flag in (transpose_a, transpose_b)]
        form = [i32] * 3 + [size] * 3 + [number, pointer, size, pointer, size, number, pointer, size]
        function = builder.inttoptr(address, ir.FunctionType(ir.VoidType(), form).as_pointer())
        first, second, target = operands[:2], operands[2:4], operands[4:]
        builder.call(
            function, [i32(ROW_MAJOR), *forms, *sizes, number(1.0), *first, *second, number(beta), *target]
        )
        return context.get_dummy_value()

    return intrinsic(typed)


product = _multiplier(0.0)  # c = op(a) op(b)
product_added = _multiplier(1.0)  # c += op(a) op(b)


@intrinsic  # type: ignore[untyped-decorator]
def matrix(_: Any, flat: Any, start: Any, rows: Any, columns: Any, distance: Any) -> Any:
    """Return a view of a flat array as a matrix for `product`; rows begin `distance` numbers apart.

    It must not be used after `flat` is freed.
    """
    kind = types.Array(flat.dtype, 2, "A")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, start, rows, columns, distance = arguments
        array = context.make_array(signature.args[0])(context, builder, value)
        bytes_of = [builder.mul(number, array.itemsize) for number in (start, distance)]
        made = context.make_array(kind)(context, builder)
        populate_array(
            made,
            data=cgutils.pointer_add(builder, array.data, bytes_of[0], made.data.type),
            shape=[rows, columns],
            strides=[bytes_of[1], array.itemsize],
            itemsize=array.itemsize,
            meminfo=None,
        )
        return made._getvalue()

    return kind(flat, *[types.intp] * 4), generate
