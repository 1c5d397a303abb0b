"""cuBLAS by ctypes: products of matrices that can be part of a CUDA graph.

CuPy refuses to call its cuBLAS while a stream is captured. This module calls the same library with a handle
of our own. The handle has a workspace from CuPy's allocator, so that no product allocates memory, and the
same product on the same addresses gives the same bits, captured or not.

cuBLAS stores matrices by columns, and nnx by rows: to cuBLAS, the memory of X is Xᵀ. Therefore it computes
Cᵀ = Bᵀ Aᵀ.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from contextlib import suppress
from typing import Any

from nnx.ops.base import Array

WORKSPACE = 32 << 20  # bytes: what NVIDIA recommends for Hopper, and more than other GPUs need
STREAMS = 4  # so many streams of a thread keep their memory
NOT_TRANSPOSED, TRANSPOSED = 0, 1
DEFAULT_MATH, TF32_MATH = 0, 3  # cublasMath_t
DEFAULT_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT
# cudaDataType, cublasComputeType_t, and the type of α and β
KINDS = {"float32": (0, 68, ctypes.c_float), "float64": (1, 70, ctypes.c_double)}
FACTORS = {"float32": 0, "float64": 1, "uint16": 14}  # cudaDataType of factors; uint16: the bits of bfloat16
P, INT, LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
FUNCTIONS: dict[str, list[Any]] = {
    "cublasCreate_v2": [P],
    "cublasDestroy_v2": [P],
    "cublasSetStream_v2": [P, P],
    "cublasSetWorkspace_v2": [P, P, ctypes.c_size_t],
    "cublasSetMathMode": [P, INT],
    "cublasGemmEx": [P, INT, INT, INT, INT, INT, P, P, INT, INT, P, INT, INT, P, P, INT, INT, INT, INT],
    "cublasGemmStridedBatchedEx": [
        P,
        INT,
        INT,
        INT,
        INT,
        INT,
        P,
        P,
        INT,
        INT,
        LONG,
        P,
        INT,
        INT,
        LONG,
        P,
        P,
        INT,
        INT,
        LONG,
        INT,
        INT,
        INT,
    ],
}


class CublasError(RuntimeError):
    """A call of cuBLAS that failed, or a library that cannot be loaded."""


def load(major: int) -> Any:
    """Return the library that CuPy uses, with the types of its functions set.

    Parameters
    ----------
    major : int
        The version of CUDA, which is part of the library's name.

    Raises
    ------
    CublasError
        If the library is missing, or lacks a function.
    """
    name = f"cublas64_{major}.dll" if os.name == "nt" else f"libcublas.so.{major}"
    return loaded("cublas", name, FUNCTIONS)


def loaded(short: str, name: str, functions: dict[str, list[Any]]) -> Any:
    """Return a library of NVIDIA, by its short name or its file's, with the types of its functions set."""
    try:
        library = ctypes.CDLL(_place(short) or name)
        for function, arguments in functions.items():
            called = getattr(library, function)
            called.argtypes, called.restype = arguments, INT
    except (OSError, AttributeError) as error:
        raise CublasError(f"{name} cannot be used ({error})") from error
    return library


def _place(short: str) -> str | None:
    """Return the file that NVIDIA's package finds, with which CuPy loads it too; None if it finds none."""
    pathfinder = sys.modules.get("cuda.pathfinder")
    try:
        return str(pathfinder.load_nvidia_dynamic_lib(short).abs_path) if pathfinder else None
    except Exception:  # its errors have several bases; the library's name may still be enough
        return None


class Cublas:
    """A handle of cuBLAS on the current device, for one thread.

    Parameters
    ----------
    xp : module
        CuPy.
    tf32 : bool
        Whether float32 products round their factors to TF32.

    Attributes
    ----------
    handle : c_void_p
    stream : int or None
        The stream of the next product; None if it is not set.

    Raises
    ------
    CublasError
        If cuBLAS cannot be used.
    """

    def __init__(self, xp: Any, tf32: bool) -> None:
        self._xp = xp
        self._library = load(int(xp.cuda.runtime.runtimeGetVersion()) // 1000)
        self.handle = P()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        weakref.finalize(self, self._library.cublasDestroy_v2, self.handle).atexit = False
        self._call("cublasSetMathMode", self.handle, TF32_MATH if tf32 else DEFAULT_MATH)
        self._workspaces: dict[int, Array] = {}  # by stream: two streams may compute at the same time
        self._workspace: Array = None  # of the current stream
        self.stream: int | None = None
        self._numbers = {name: (number(1.0), number(0.0)) for name, (_, _, number) in KINDS.items()}

    def product(self, a: Array, b: Array, out: Array) -> None:
        """out = a b on CuPy's current stream.

        Parameters
        ----------
        a, b : array of shape (m, k) and (k, n)
            Each is C-contiguous, or the transpose of a C-contiguous array.
        out : array of shape (m, n)
            C-contiguous. All have one type, float32 or float64; or the factors are the bits of bfloat16
            numbers (uint16), and `out` is float32. Then the sums are float32 too.
        """
        self.ready()
        (m, k), n = a.shape, b.shape[1]
        kind, compute, _ = KINDS[out.dtype.name]
        factor = FACTORS[a.dtype.name]
        one, zero = self._numbers[out.dtype.name]
        turned_a, row_a = _layout(a)
        turned_b, row_b = _layout(b)
        self._call(
            "cublasGemmEx", self.handle, turned_b, turned_a, n, m, k, ctypes.byref(one),
            b.data.ptr, factor, row_b, a.data.ptr, factor, row_a, ctypes.byref(zero),
            out.data.ptr, kind, n, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip

    def stacked_product(self, a: Array, b: Array, out: Array) -> None:
        """out[g] = a[g] b[g] on CuPy's current stream, in one launch.

        Parameters
        ----------
        a, b : array of shape (count, m, k) and (count, k, n)
            The rows of each matrix are contiguous, or its columns; float32 or float64.
        out : array of shape (count, m, n)
            C-contiguous, of the same type.
        """
        self.ready()
        (count, m, k), n = a.shape, b.shape[2]
        kind, compute, _ = KINDS[out.dtype.name]
        one, zero = self._numbers[out.dtype.name]
        turned_a, row_a, next_a = _layout_of_stack(a)
        turned_b, row_b, next_b = _layout_of_stack(b)
        self._call(
            "cublasGemmStridedBatchedEx", self.handle, turned_b, turned_a, n, m, k, ctypes.byref(one),
            b.data.ptr, kind, row_b, next_b, a.data.ptr, kind, row_a, next_a, ctypes.byref(zero),
            out.data.ptr, kind, n, m * n, count, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip

    def ready(self) -> Array:
        """Use CuPy's current stream, and return its workspace."""
        if current_stream(self._xp) != self.stream:
            self.prepare()
        return self._workspace

    def prepare(self, workspace: Array | None = None) -> None:
        """Use CuPy's current stream; `workspace` is memory for a graph that is captured there.

        CuPy's pool gives memory back to the stream for which it was requested, so a workspace that is no
        longer needed is not overwritten before the stream has finished with it.
        """
        stream = current_stream(self._xp)
        if workspace is None:
            workspace = self._workspaces.pop(stream, None)
            if workspace is None:
                workspace = self.workspace()
            self._workspaces[stream] = workspace  # the newest is the last
            while len(self._workspaces) > STREAMS:
                del self._workspaces[next(iter(self._workspaces))]
        self._call("cublasSetStream_v2", self.handle, stream)  # cuBLAS then forgets its workspace
        self._call("cublasSetWorkspace_v2", self.handle, workspace.data.ptr, WORKSPACE)
        self._workspace, self.stream = workspace, stream

    def release(self) -> None:
        """Forget the stream, so that the next product sets stream and workspace again."""
        self._workspace = self.stream = None

    def workspace(self) -> Array:
        """Return memory for the products of one stream or of one graph."""
        return self._xp.empty(WORKSPACE, dtype="uint8")

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise CublasError(f"{function} failed with status {status}")


def current_stream(library: Any) -> int:
    """Return the address of the current stream of CuPy, the library."""
    return int(library.cuda.get_current_stream().ptr)


def _layout(x: Array) -> tuple[int, int]:
    """Return whether cuBLAS must transpose a factor, and the length of a row in memory."""
    rows, columns = x.shape
    if x.flags.c_contiguous:
        return NOT_TRANSPOSED, columns
    if x.flags.f_contiguous:
        return TRANSPOSED, rows
    raise CublasError(f"a factor of shape {x.shape} is not contiguous")


def _layout_of_stack(x: Array) -> tuple[int, int, int]:
    """Return what `_layout` does, and the distance in memory from each matrix of a stack to the next."""
    _, rows, columns = x.shape
    distance, down, across = (stride // x.itemsize for stride in x.strides)
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return NOT_TRANSPOSED, down if rows > 1 else columns, distance
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return TRANSPOSED, across if columns > 1 else rows, distance
    raise CublasError(f"the matrices of a stack of shape {x.shape} are not contiguous")


def reads_stack(x: Array) -> bool:
    """Return whether `Cublas.stacked_product` takes a stack of matrices as it lies in memory."""
    with suppress(CublasError):
        _layout_of_stack(x)
        return True
    return False
