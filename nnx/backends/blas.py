"""Choose the BLAS that computes products in compiled kernels: each product on the thread that calls it.

NumPy's OpenBLAS and Numba each have a pool of threads, and two pools on the same cores slow each other down.
So kernels divide the work themselves, and call a BLAS of their own by address: OpenBLAS (`openblas`), or on
Intel's processors MKL (`mkl`), if it is installed. The choice follows this rule and no measurement, so that
the same machine always gives the same bytes. The variable ``NNX_BLAS`` overrides it.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnx.backends import mkl, openblas, processor
from nnx.errors import ConfigurationError

VARIABLE, NAMES = "NNX_BLAS", ("openblas", "mkl")
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112  # constants in cblas.h
_FORMS = ((_PLAIN, _PLAIN), (_PLAIN, _TRANSPOSED), (_TRANSPOSED, _PLAIN))  # the forms that kernels use


@dataclass(frozen=True)
class Blas:
    """A BLAS that computes each product on the thread that calls it.

    Attributes
    ----------
    name : str
        Library, version and, if it tells, its kernels: ``"MKL 2026.2"``, ``"OpenBLAS 0.3.34 (Zen)"``.
    gemm : dict of int to int
        Addresses of ``cblas_sgemm`` and ``cblas_dgemm`` by the size of an item in bytes.
    library : ctypes.CDLL
    bfloat16 : int or None
        Address of ``cblas_gemm_bf16bf16f32``, the product of bfloat16 numbers in float32; MKL has it.
    hold : context manager
        For work with it; see `openblas.OneThread`.
    most : int or None
        The most threads that may call it at the same time; None if there is no limit.
    """

    name: str
    gemm: dict[int, int]
    library: Any
    bfloat16: int | None = None
    hold: AbstractContextManager[Any] = field(default_factory=nullcontext)
    most: int | None = None


def load() -> Blas | None:
    """Return the BLAS of the compiled kernels; None if there is none, so that NumPy computes the products.

    Without ``NNX_BLAS`` it is MKL on Intel's processors if it is installed, else OpenBLAS. A library that is
    missing, has a version that was not tested, or multiplies wrongly is not used.

    Raises
    ------
    ConfigurationError
        If ``NNX_BLAS`` has another value than `NAMES`, or names a library that cannot be used.
    """
    chosen = asked()
    if chosen == "mkl" or (not chosen and processor.vendor() == "GenuineIntel"):
        try:
            return with_mkl()
        except mkl.UnusableError as error:
            if chosen:
                raise ConfigurationError(f"{VARIABLE}=mkl: {error}; or unset {VARIABLE}") from error
    found = with_openblas()
    if chosen and found is None:
        raise ConfigurationError(
            f"{VARIABLE}=openblas: no OpenBLAS that was tested with nnx is installed: "
            f"run pip install '{openblas.WANTED}'; or unset {VARIABLE}"
        )
    return found


def asked() -> str:
    """Return the value of ``NNX_BLAS``, in lower case; empty if it is not set."""
    given = os.environ.get(VARIABLE, "").strip().lower()
    if given and given not in NAMES:
        raise ConfigurationError(
            f"{VARIABLE} is {os.environ[VARIABLE]!r}: choose from {', '.join(NAMES)}, or unset it"
        )
    return given


@functools.cache
def with_mkl() -> Blas:
    """Return MKL, loaded once; bfloat16 uses it also where OpenBLAS computes the other products.

    Raises
    ------
    UnusableError
        See `mkl.load`; also if it multiplies wrongly.
    """
    library, version = mkl.load()
    wide = ctypes.c_int64
    try:
        functions = {4: library.cblas_sgemm, 8: library.cblas_dgemm}
        half = library.cblas_gemm_bf16bf16f32
    except AttributeError as error:
        raise mkl.UnusableError(f"MKL {version} lacks a function ({error})") from error
    if not all(multiplies(function, f"f{size}", wide) for size, function in functions.items()):
        raise mkl.UnusableError(f"MKL {version} multiplies wrongly on this processor")
    exact = multiplies(half, "bfloat16", wide)
    name = f"MKL {'.'.join(version.split('.')[:2])}"
    return Blas(name, _addresses(functions), library, _address(half) if exact else None)


def with_openblas() -> Blas | None:
    """Return OpenBLAS, or None if it cannot be used."""
    found = openblas.load()
    if found is None:
        return None
    functions = {4: found.scipy_cblas_sgemm, 8: found.scipy_cblas_dgemm}
    if not all(multiplies(function, f"f{size}", ctypes.c_int) for size, function in functions.items()):
        return None
    return Blas(
        openblas.describe(found), _addresses(functions), found,
        hold=openblas.OneThread(found), most=openblas.most_threads(found),
    )  # fmt: skip


def multiplies(function: Any, kind: str, integer: Callable[[int], Any]) -> bool:
    """Return whether a function multiplies matrices correctly in each form that kernels use.

    The matrices hold small whole numbers, so a correct product is exact in any order of summation. `kind` is
    the type of the factors, ``"f4"``, ``"f8"`` or ``"bfloat16"``; `integer` is the type of sizes.
    """
    m, n, k = 33, 18, 21  # not multiples of a processor's vector length
    sums, number = (np.dtype("f8"), ctypes.c_double) if kind == "f8" else (np.dtype("f4"), ctypes.c_float)
    for first, second in _FORMS:
        a: Any = (np.arange(m * k) % 7 - 3).astype(sums).reshape((k, m) if first == _TRANSPOSED else (m, k))
        b: Any = (np.arange(k * n) % 5 - 2).astype(sums).reshape((n, k) if second == _TRANSPOSED else (k, n))
        right = (a.T if first == _TRANSPOSED else a) @ (b.T if second == _TRANSPOSED else b)
        if kind == "bfloat16":  # the upper half of a float32 number
            a, b = ((x.view(np.uint32) >> 16).astype(np.uint16) for x in (a, b))
        c = np.full((m, n), np.nan, sums)
        shape = (integer(length) for length in (m, n, k))
        operands = [(ctypes.c_void_p(x.ctypes.data), integer(x.shape[1])) for x in (a, b, c)]
        layout = (ctypes.c_int(_ROW_MAJOR), ctypes.c_int(first), ctypes.c_int(second))
        function(*layout, *shape, number(1.0), *operands[0], *operands[1], number(0.0), *operands[2])
        if not np.array_equal(c, right):
            return False
    return True


def _addresses(functions: dict[int, Any]) -> dict[int, int]:
    return {size: _address(function) for size, function in functions.items()}


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
