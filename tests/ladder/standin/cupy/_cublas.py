"""cuBLAS as `nnx.backends.cublas` calls it: in place of the library, functions that check their arguments.

Addresses must lie in memory of the current device, leading dimensions and transposes must fit in it, the
stream must be CuPy's current one, and the workspace must have been set after the stream. NumPy multiplies.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from typing import Any

import numpy as np

from cupy import _streams, _world
from cupy._array import launch

KINDS = {(0, 68): "float32", (0, 77): "float32", (1, 70): "float64"}  # (type, compute type)
BFLOAT16 = 14  # of factors only; their bits are the upper halves of float32 numbers
SUCCESS, INVALID = 0, 7
handles: dict[int, dict[str, Any]] = {}
numbers = itertools.count(1)


def install() -> None:
    """Let the binding load this instead of NVIDIA's library."""
    from nnx.backends import cublas

    cublas.load = lambda major: Library()  # type: ignore[assignment]


class Library:
    """The functions that the binding calls."""

    def cublasCreate_v2(self, handle: Any) -> int:
        _world.unless_captured("a handle is created")
        handle._obj.value = number = next(numbers)
        handles[number] = {"device": _world.current(), "stream": None, "workspace": None, "mode": 0}
        return SUCCESS

    def cublasDestroy_v2(self, handle: Any) -> int:
        return SUCCESS if handles.pop(handle.value, None) else INVALID

    def cublasSetStream_v2(self, handle: Any, stream: int) -> int:
        handles[handle.value].update(stream=stream, workspace=None)
        return SUCCESS

    def cublasSetWorkspace_v2(self, handle: Any, address: int, size: int) -> int:
        memory = _memory(address, size)
        handles[handle.value].update(workspace=weakref.ref(memory))
        return SUCCESS

    def cublasSetMathMode(self, handle: Any, mode: int) -> int:
        handles[handle.value]["mode"] = mode
        return SUCCESS if mode in (0, 3) else INVALID

    def cublasGemmEx(
        self, handle: Any, op_a: int, op_b: int, m: int, n: int, k: int, alpha: Any,
        a: int, kind_a: int, lda: int, b: int, kind_b: int, ldb: int, beta: Any,
        c: int, kind_c: int, ldc: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        """C = α op(A) op(B) + β C, by columns."""
        places = (a, kind_a, lda, 0), (b, kind_b, ldb, 0), (c, kind_c, ldc, 0)
        return self._multiply(
            "cublasGemmEx", handle, (op_a, op_b), (m, n, k), (alpha, beta), places, 1, compute, algorithm
        )

    def cublasGemmStridedBatchedEx(
        self, handle: Any, op_a: int, op_b: int, m: int, n: int, k: int, alpha: Any,
        a: int, kind_a: int, lda: int, next_a: int, b: int, kind_b: int, ldb: int, next_b: int, beta: Any,
        c: int, kind_c: int, ldc: int, next_c: int, count: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        """The same for matrices at equal distances in memory."""
        if next_c < ldc * n:
            return INVALID
        places = (a, kind_a, lda, next_a), (b, kind_b, ldb, next_b), (c, kind_c, ldc, next_c)
        return self._multiply(
            "cublasGemmStridedBatchedEx", handle, (op_a, op_b), (m, n, k), (alpha, beta), places,
            count, compute, algorithm,
        )  # fmt: skip

    def _multiply(
        self, name: str, handle: Any, turned: tuple[int, int], sizes: tuple[int, int, int],
        factors: tuple[Any, Any], places: Any, count: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        (m, n, k), (alpha, beta), (op_a, op_b) = sizes, factors, turned
        (a, kind_a, lda, next_a), (b, kind_b, ldb, next_b), (c, kind_c, ldc, next_c) = places
        state = handles[handle.value]
        if state["device"] != _world.current():
            raise ValueError("a handle of cuBLAS is used on another device")
        if state["stream"] != _streams.get_current_stream().ptr:
            raise ValueError("a product runs on another stream than CuPy's current one")
        if state["workspace"] is None:
            raise ValueError("a handle of cuBLAS has no workspace of its own: cuBLAS would allocate one")
        workspace = state["workspace"]()
        if workspace is None:
            raise ValueError("the workspace of cuBLAS was freed")
        if (kind_c, compute) not in KINDS or algorithm != -1:
            return INVALID
        halves = kind_a == kind_b == BFLOAT16 and (kind_c, compute) == (0, 68)
        if not halves and not kind_a == kind_b == kind_c:
            return INVALID
        dtype = np.dtype(KINDS[kind_c, compute])
        given = np.dtype("uint16") if halves else dtype
        number = ctypes.c_float if dtype.itemsize == 4 else ctypes.c_double
        if not (type(alpha._obj) is type(beta._obj) is number) or min(m, n, k, count) < 1:
            return INVALID
        products = []
        for g in range(count):
            at_a, at_b = a + g * next_a * given.itemsize, b + g * next_b * given.itemsize
            x, from_x = _matrix(at_a, *((m, k) if op_a == 0 else (k, m)), lda, given)
            y, from_y = _matrix(at_b, *((k, n) if op_b == 0 else (n, k)), ldb, given)
            out, into = _matrix(c + g * next_c * dtype.itemsize, m, n, ldc, dtype)
            if np.may_share_memory(out, x) or np.may_share_memory(out, y):
                raise ValueError("cuBLAS reads what it writes")
            products.append((x.T if op_a else x, y.T if op_b else y, out))
        factor, rest = dtype.type(alpha._obj.value), dtype.type(beta._obj.value)

        def perform() -> None:
            with np.errstate(all="ignore"):
                for left, right, out in products:
                    factors = (_widened(one) if halves else one for one in (right.T, left.T))
                    found = np.matmul(*factors).T  # as NumPy multiplies the arrays of rows
                    found = found if factor == 1 else factor * found
                    out[...] = found if rest == 0 else found + rest * out

        launch(name, (from_x, from_y, workspace), (into, workspace), perform=perform)
        return SUCCESS


def _widened(halves: Any) -> Any:
    """The float32 numbers whose upper halves these are, in the same order in memory."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _memory(address: int, size: int) -> Any:
    memory = _world.memory_at(address)
    if memory is None or address + size > memory.address + memory.length:
        raise ValueError(f"cuBLAS is given memory that is not the device's: {size} bytes from {address:#x}")
    if memory.device != _world.current():
        raise ValueError("cuBLAS is given memory of another device")
    return memory


def _matrix(address: int, rows: int, columns: int, stride: int, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """A matrix by columns at an address, and the memory that it lies in."""
    if stride < rows:
        raise ValueError(f"the leading dimension {stride} is smaller than {rows} rows")
    if address % dtype.itemsize:
        raise ValueError("a matrix does not begin at a whole number")
    size = ((columns - 1) * stride + rows) * dtype.itemsize
    memory = _memory(address, size)
    flat = np.frombuffer((ctypes.c_char * size).from_address(address), dtype)
    step = dtype.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (step, stride * step)), memory
