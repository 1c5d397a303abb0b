"""Share the rows of arrays among the threads of `team_numba`, or on other systems among Numba's.

Numba's own parallel loop (``prange``) does the same, but its compilation takes about as long as that of all
kernels together. `share` calls the team, or the function on which ``prange`` is built.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from nnx.ops import team_numba


@intrinsic  # type: ignore[untyped-decorator]
def share(typing: Any, kernel: Any, divided: Any, whole: Any, segments: Any) -> Any:
    """Call ``kernel(*parts, *whole)`` once for each segment; `parts` are the segment's rows of `divided`.

    Rows are those of each array's first axis. Each array is divided into equal segments; the arrays may have
    different numbers of rows. The result of a kernel is ignored, and it may raise no exception. One segment
    runs on the thread that calls.
    """
    parts = [array.copy(layout="C" if array.layout == "C" else "A") for array in divided]
    called = kernel.get_call_type(typing, (*parts, *whole), {})
    compiled = kernel.dispatcher.overloads[called.args]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        context.add_linking_libs([compiled.library])
        _, arrays, others, count = arguments
        packed = cgutils.pack_struct(builder, [arrays, others, count])
        place = cgutils.alloca_once_value(builder, packed)
        work = _work(context, builder.module, place.type, divided, parts, whole, compiled)
        _launch(context, builder, work, place, count)
        return context.get_dummy_value()

    return types.void(kernel, divided, whole, types.intp), generate


def _work(
    context: Any, module: Any, place: Any, divided: Any, parts: Any, whole: Any, compiled: Any
) -> ir.Function:
    """Return a function that calls the kernel for a range of segments, in the form that Numba's threads call.

    They pass the first segment as the address in ``args[0]``, the number of segments in ``dimensions[0]``,
    and the arguments of `share` in `data`.
    """
    integer, pointer = context.get_value_type(types.intp), cgutils.voidptr_t
    form = ir.FunctionType(ir.VoidType(), [pointer.as_pointer(), *[integer.as_pointer()] * 2, pointer])
    work = ir.Function(module, form, module.get_unique_name("segments"))
    work.linkage = "internal"
    builder = ir.IRBuilder(work.append_basic_block())
    args, dimensions, _, data = work.args
    first = builder.ptrtoint(builder.load(args), integer)
    packed = builder.load(builder.bitcast(data, place))
    arrays, others, count = (builder.extract_value(packed, number) for number in range(3))
    with cgutils.for_range(builder, builder.load(dimensions)) as loop:
        index = builder.add(first, loop.index)
        values = []
        for number, (array, part) in enumerate(zip(divided, parts, strict=True)):
            array = context.make_array(array)(context, builder, builder.extract_value(arrays, number))
            values.append(_rows(context, builder, array, part, index, count))
        values += [builder.extract_value(others, number) for number in range(len(whole))]
        context.call_internal_no_propagate(builder, compiled.fndesc, compiled.signature, values)
    builder.ret_void()
    return work


def _rows(context: Any, builder: Any, array: Any, part: Any, index: Any, count: Any) -> Any:
    """Return the rows of a segment."""
    sizes, strides = (cgutils.unpack_tuple(builder, pair) for pair in (array.shape, array.strides))
    low = builder.sdiv(builder.mul(index, sizes[0]), count)
    high = builder.sdiv(builder.mul(builder.add(index, index.type(1)), sizes[0]), count)
    made = context.make_array(part)(context, builder)
    populate_array(
        made,
        data=cgutils.pointer_add(builder, array.data, builder.mul(low, strides[0])),
        shape=[builder.sub(high, low), *sizes[1:]],
        strides=strides,
        itemsize=array.itemsize,
        meminfo=array.meminfo,
        parent=array.parent,
    )
    return made._getvalue()


def _launch(context: Any, builder: Any, work: ir.Function, place: Any, count: Any) -> None:
    """Let the threads call `work`; for one segment call it here."""
    integer, pointer = context.get_value_type(types.intp), cgutils.voidptr_t
    data = builder.bitcast(place, pointer)
    args = cgutils.alloca_once_value(builder, pointer(None))
    dimensions = cgutils.alloca_once_value(builder, count)
    steps = cgutils.alloca_once_value(builder, integer(1))  # the address in args[0] counts segments
    alone = builder.icmp_signed("<=", count, integer(1))
    with builder.if_else(alone) as (here, shared):
        with here:
            builder.call(work, [args, dimensions, steps, data])
        with shared:
            if team_numba.AVAILABLE:
                form = ir.FunctionType(ir.VoidType(), [integer] * 3)
                launch = cgutils.get_or_insert_function(builder.module, form, team_numba.SYMBOL)
                builder.call(launch, [builder.ptrtoint(one, integer) for one in (work, data)] + [count])
                return
            threads = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(integer, []), "get_num_threads"
            )
            form = ir.FunctionType(ir.VoidType(), [pointer] * 5 + [integer] * 3)
            launch = cgutils.get_or_insert_function(builder.module, form, "numba_parallel_for")
            places = [builder.bitcast(one, pointer) for one in (work, args, dimensions, steps)]
            sizes = [integer(0), integer(1), builder.call(threads, [])]
            builder.call(launch, [*places, data, *sizes])
