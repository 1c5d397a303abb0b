"""Load a private OpenBLAS on one thread, for kernels that divide the work among threads themselves.

NumPy's OpenBLAS and Numba each have a pool of threads, and two pools on the same cores slow each other down.
The wheel ``scipy-openblas32`` (SciPy is built with it) contains a second copy of the library. It is loaded
privately, on one thread. NumPy's and SciPy's copies do not affect it, whatever the order of imports. A
compiled kernel calls its products by address.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "scipy_openblas32"
NAMES = ("libscipy_openblas.so", "libscipy_openblas.dylib", "libscipy_openblas.dll")
# The tested versions, see pyproject.toml; other versions are not used.
OLDEST, BEFORE = (0, 3, 28), (0, 3, 35)
WANTED = "scipy-openblas32>=0.3.28,<0.3.35"
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112  # constants in cblas.h
_FORMS = ((_PLAIN, _PLAIN), (_PLAIN, _TRANSPOSED), (_TRANSPOSED, _PLAIN))  # the forms that kernels use


@dataclass(frozen=True)
class Blas:
    """Addresses of ``cblas_sgemm`` and ``cblas_dgemm`` by the size of an item, and their kernels' name."""

    gemm: dict[int, int]
    core: str
    library: ctypes.CDLL


def load() -> Blas | None:
    """Return the library; None if its wheel is missing, has another version, or multiplies wrongly.

    Without it, NumPy computes the products: slower, with the same results up to rounding.
    """
    found = importlib.util.find_spec(PACKAGE)  # an import would make its symbols visible to other libraries
    places = () if found is None else tuple(found.submodule_search_locations or ())
    paths = [path for place in places for name in NAMES if (path := Path(place, "lib", name)).is_file()]
    if not paths:
        return None
    try:
        library = ctypes.CDLL(str(paths[0]))
        if not _tested(_text(library.scipy_openblas_get_config)):
            return None
        library.scipy_openblas_set_num_threads(1)
        core = _text(library.scipy_openblas_get_corename)
        functions = {4: library.scipy_cblas_sgemm, 8: library.scipy_cblas_dgemm}
        if not all(_multiplies(function, size) for size, function in functions.items()):
            return None
        return Blas({size: _address(function) for size, function in functions.items()}, core, library)
    except (OSError, AttributeError):
        return None


def _text(function: Any) -> str:
    """Call a function of the library that returns a text."""
    function.restype = ctypes.c_char_p
    return (function() or b"").decode()


def _tested(config: str) -> bool:
    """Return whether a library's description names a tested version with 32-bit integers."""
    found = re.match(r"OpenBLAS (\d+)\.(\d+)\.(\d+)", config)
    if found is None or "USE64BITINT" in config:
        return False
    return OLDEST <= tuple(int(part) for part in found.groups()) < BEFORE


def _multiplies(function: Any, size: int) -> bool:
    """Return whether the function multiplies matrices correctly in each form that kernels use.

    The matrices hold small whole numbers, so a correct product is exact in any order of summation.
    """
    m, n, k = 33, 18, 21  # not multiples of a processor's vector length
    kind, number = np.dtype(f"f{size}"), ctypes.c_float if size == 4 else ctypes.c_double
    for first, second in _FORMS:
        a = (np.arange(m * k) % 7 - 3).astype(kind).reshape((k, m) if first == _TRANSPOSED else (m, k))
        b = (np.arange(k * n) % 5 - 2).astype(kind).reshape((n, k) if second == _TRANSPOSED else (k, n))
        c = np.full((m, n), np.nan, kind)
        shape = (ctypes.c_int(length) for length in (m, n, k))
        operands = [(ctypes.c_void_p(x.ctypes.data), ctypes.c_int(x.shape[1])) for x in (a, b, c)]
        layout = (ctypes.c_int(_ROW_MAJOR), ctypes.c_int(first), ctypes.c_int(second))
        function(*layout, *shape, number(1.0), *operands[0], *operands[1], number(0.0), *operands[2])
        right = (a.T if first == _TRANSPOSED else a) @ (b.T if second == _TRANSPOSED else b)
        if not np.array_equal(c, right):
            return False
    return True


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
