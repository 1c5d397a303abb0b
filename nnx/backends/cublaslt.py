"""cuBLASLt by ctypes: products with the bias, and ReLU if wanted, in the same launch.

CuPy 14 has no binding of this library. Each shape has a plan: descriptors, and the algorithm that the library
recommends. NVIDIA does not say whether its ReLU keeps NaN, and nnx finds faults by NaN. So before a layer's
products are computed by an algorithm, it computes once with a bias of NaN, and once with whole numbers. If a
single number of the result is wrong, such products are computed without the library, as before. Batches of
many sizes share a few algorithms, so the host waits only a few times, however many sizes there are.
"""

from __future__ import annotations

import ctypes
import math
import os
import weakref
from dataclasses import dataclass
from typing import Any

from nnx.backends.cublas import FACTORS, INT, KINDS, WORKSPACE, Cublas, CublasError, P, loaded
from nnx.ops.base import Array

EPILOGUES = {"identity": 4, "relu": 6}  # CUBLASLT_EPILOGUE_BIAS and _RELU_BIAS
TF32 = 77  # CUBLAS_COMPUTE_32F_FAST_TF32
EPILOGUE, BIAS_POINTER = 7, 8  # cublasLtMatmulDescAttributes_t
WORKSPACE_LIMIT, ALIGNMENTS = 1, (5, 6, 7, 8)  # cublasLtMatmulPreferenceAttributes_t, for A, B, C and D
ALIGNED = 16  # bytes: no kernel reads more at once
MOST = 256  # plans that are kept
TESTED = 1 << 24  # the largest product, in numbers, whose test also compares it with cuBLAS's
SIZE, LONG = ctypes.c_size_t, ctypes.c_int64


class Recommended(ctypes.Structure):
    """An algorithm that the library recommends: cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8), ("workspace", SIZE), ("status", INT), ("waves", ctypes.c_float),
        ("reserved", INT * 4),
    )  # fmt: skip


FUNCTIONS: dict[str, list[Any]] = {
    "cublasLtMatmulDescCreate": [P, INT, INT],
    "cublasLtMatmulDescSetAttribute": [P, INT, P, SIZE],
    "cublasLtMatmulDescDestroy": [P],
    "cublasLtMatrixLayoutCreate": [P, INT, ctypes.c_uint64, ctypes.c_uint64, LONG],
    "cublasLtMatrixLayoutDestroy": [P],
    "cublasLtMatmulPreferenceCreate": [P],
    "cublasLtMatmulPreferenceSetAttribute": [P, INT, P, SIZE],
    "cublasLtMatmulPreferenceDestroy": [P],
    "cublasLtMatmulAlgoGetHeuristic": [P, P, P, P, P, P, P, INT, P, P],
    "cublasLtMatmul": [P, P, P, P, P, P, P, P, P, P, P, P, P, P, SIZE, P],
}


def load(major: int) -> Any:
    """Return the library, on which cuBLAS itself depends; see `cublas.load`."""
    name = f"cublasLt64_{major}.dll" if os.name == "nt" else f"libcublasLt.so.{major}"
    return loaded("cublasLt", name, FUNCTIONS)


@dataclass(frozen=True)
class Planned:
    """How the products of one shape are computed: the descriptors, and the algorithm."""

    operation: Any
    a: Any
    b: Any
    out: Any
    algorithm: Any


class CublasLt:
    """The library, for one thread and one device.

    Parameters
    ----------
    blas : Cublas
        Its handle is used here too, which NVIDIA allows, and its workspace.
    xp : module
        CuPy.
    tf32 : bool
        Whether float32 products round their factors to TF32.

    Raises
    ------
    CublasError
        If the library cannot be used.
    """

    def __init__(self, blas: Cublas, xp: Any, tf32: bool) -> None:
        self._blas, self._xp, self._tf32 = blas, xp, tf32
        self._library = load(int(xp.cuda.runtime.runtimeGetVersion()) // 1000)
        self._numbers = {name: (number(1.0), number(0.0)) for name, (_, _, number) in KINDS.items()}
        self._plans: dict[tuple[Any, ...], Planned | None] = {}
        self._passed: dict[tuple[Any, ...], bool] = {}  # the tests, by layer and algorithm

    def product(self, a: Array, b: Array, bias: Array, out: Array, kind: str) -> bool:
        """Compute out = f(a b + bias) on CuPy's current stream, and return True; or return False.

        Parameters
        ----------
        a, b : array of shape (m, k) and (k, n)
            Types as for `Cublas.product`.
        bias : array of shape (n,)
        out : array of shape (m, n)
            C-contiguous.
        kind : str
            The name of f.

        Notes
        -----
        Only the keys of `EPILOGUES` are computed here, C-contiguous arrays, and a bias at a multiple of
        `ALIGNED` bytes. The library may choose a kernel that reads so much of the bias at once, and it cannot
        be told that the bias is aligned less. Such a read would stop the GPU ("misaligned address").
        """
        if kind not in EPILOGUES or not all(x.flags.c_contiguous for x in (a, b, bias)):
            return False
        if _alignment(bias) < ALIGNED:
            return False
        aligned = tuple(_alignment(x) for x in (b, a, out))
        key = (kind, out.dtype.name, a.dtype.name, a.shape, b.shape, aligned)
        if key not in self._plans:
            if len(self._plans) == MOST:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = self._tried(a, b, bias, out, kind, aligned)
        plan = self._plans[key]
        if plan is not None:
            self._compute(plan, a, b, bias, out)
        return plan is not None

    def used(self) -> dict[str, str]:
        """Return for each f how many of the shapes so far are computed here: ``{"relu": "3 of 4"}``."""
        counts: dict[str, str] = {}
        for kind in EPILOGUES:
            plans = [plan is not None for key, plan in self._plans.items() if key[0] == kind]
            counts[kind] = f"{sum(plans)} of {len(plans)}"
        return counts

    def _tried(
        self, a: Array, b: Array, bias: Array, out: Array, kind: str, aligned: tuple[int, ...]
    ) -> Planned | None:
        """Return a plan whose algorithm has passed its test, or None."""
        try:
            plan = self._plan(a, b, bias, out, kind, aligned)
            algorithm = bytes(plan.algorithm.algorithm)  # says which kernel computes, and how
            tested = (kind, out.dtype.name, a.dtype.name, b.shape, aligned, algorithm, _compares(a, b, out))
            if tested not in self._passed:
                self._passed[tested] = self._passes(plan, a, b, out, kind)
        except CublasError:
            return None
        return plan if self._passed[tested] else None

    def _passes(self, plan: Planned, a: Array, b: Array, out: Array, kind: str) -> bool:
        """Return whether a plan keeps NaN, and computes whole numbers, which are exact in every mode.

        This overwrites `out`, and the host waits once. Very large products are tried with NaN only.
        """
        xp, n = self._xp, b.shape[1]
        self._compute(plan, a, b, xp.full(n, math.nan, out.dtype), out)
        passed = xp.all(xp.isnan(out))
        if _compares(a, b, out):
            bias, expected = _whole(xp, (n,), out.dtype), xp.empty(out.shape, out.dtype)
            factors = _whole(xp, a.shape, a.dtype), _whole(xp, b.shape, b.dtype)
            self._compute(plan, *factors, bias, out)
            self._blas.product(*factors, expected)
            expected += bias
            if kind == "relu":
                expected = xp.maximum(expected, 0.0)
            passed = xp.logical_and(passed, xp.all(out == expected))
        return bool(passed)

    def _plan(
        self, a: Array, b: Array, bias: Array, out: Array, kind: str, aligned: tuple[int, ...]
    ) -> Planned:
        """To cuBLASLt, which stores by columns, this is outᵀ = f(bᵀ aᵀ + bias): see cublas.py."""
        (m, k), n, number = a.shape, b.shape[1], out.dtype.name
        code, compute, _ = KINDS[number]
        operation = self._made(
            "cublasLtMatmulDesc",
            TF32 if self._tf32 and number == a.dtype.name == "float32" else compute,
            code,
        )
        self._set("cublasLtMatmulDesc", operation, EPILOGUE, ctypes.c_uint32(EPILOGUES[kind]))
        self._set("cublasLtMatmulDesc", operation, BIAS_POINTER, P(bias.data.ptr))
        factor = FACTORS[a.dtype.name]
        of_b, of_a, of_out = (
            self._made("cublasLtMatrixLayout", type_, rows, columns, rows)
            for type_, rows, columns in ((factor, n, k), (factor, k, m), (code, n, m))
        )
        preference = self._made("cublasLtMatmulPreference")
        self._set("cublasLtMatmulPreference", preference, WORKSPACE_LIMIT, ctypes.c_uint64(WORKSPACE))
        for name, alignment in zip(ALIGNMENTS, (aligned[0], aligned[1], aligned[2], aligned[2]), strict=True):
            self._set("cublasLtMatmulPreference", preference, name, ctypes.c_uint32(alignment))
        found, count = Recommended(), INT(0)
        self._call(
            "cublasLtMatmulAlgoGetHeuristic", self._blas.handle, operation, of_b, of_a, of_out, of_out,
            preference, 1, ctypes.byref(found), ctypes.byref(count),
        )  # fmt: skip
        if count.value < 1 or found.status:
            raise CublasError("cuBLASLt has no algorithm for this product")
        return Planned(operation, of_a, of_b, of_out, found)

    def _compute(self, plan: Planned, a: Array, b: Array, bias: Array, out: Array) -> None:
        workspace = self._blas.ready()
        one, zero = self._numbers[out.dtype.name]
        self._set("cublasLtMatmulDesc", plan.operation, BIAS_POINTER, P(bias.data.ptr))
        self._call(
            "cublasLtMatmul", self._blas.handle, plan.operation, ctypes.byref(one), b.data.ptr, plan.b,
            a.data.ptr, plan.a, ctypes.byref(zero), out.data.ptr, plan.out, out.data.ptr, plan.out,
            ctypes.byref(plan.algorithm), workspace.data.ptr, WORKSPACE, self._blas.stream,
        )  # fmt: skip

    def _made(self, what: str, *arguments: Any) -> Any:
        """Return a new descriptor, which is destroyed with the last reference to it."""
        made = P()
        self._call(f"{what}Create", ctypes.byref(made), *arguments)
        weakref.finalize(made, getattr(self._library, f"{what}Destroy"), P(made.value)).atexit = False
        return made

    def _set(self, what: str, descriptor: Any, attribute: int, value: Any) -> None:
        size = ctypes.sizeof(value)
        self._call(f"{what}SetAttribute", descriptor, attribute, ctypes.byref(value), size)

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise CublasError(f"{function} failed with status {status}")


def _alignment(x: Array) -> int:
    """Return the largest power of two of bytes, up to `ALIGNED`, that divides an array's address."""
    address = int(x.data.ptr) | ALIGNED
    return address & -address


def _compares(a: Array, b: Array, out: Array) -> bool:
    """Return whether the test also compares numbers: if the product is not too large, and exact."""
    return bool(a.size + b.size + out.size <= TESTED and 25 * b.shape[0] < 1 << 24)


def _whole(xp: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return whole numbers from −5 to 5; with the type uint16, as the bits of bfloat16 numbers."""
    bits = str(dtype) == "uint16"
    numbers = (xp.arange(math.prod(shape)) * 7 % 11 - 5).astype("float32" if bits else dtype)
    return ((numbers.view("uint32") >> 16).astype("uint16") if bits else numbers).reshape(shape)
