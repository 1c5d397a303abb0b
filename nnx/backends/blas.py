"""A BLAS of nnx's own: OpenBLAS on one thread, for kernels that divide the work among threads themselves.

NumPy's OpenBLAS and Numba each keep a pool of threads, and two pools on the same cores wait for each other.
The wheel ``scipy-openblas32`` (the one that SciPy is built with) carries a second copy of the library. It is
loaded privately, on one thread, whatever NumPy and SciPy do with theirs and in whatever order they were
imported; a compiled kernel calls its products by address.
"""

from __future__ import annotations

import ctypes
import importlib.util
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "scipy_openblas32"
NAMES = ("libscipy_openblas.so", "libscipy_openblas.dylib", "libscipy_openblas.dll")


@dataclass(frozen=True)
class Blas:
    """Addresses of ``cblas_sgemm`` and ``cblas_dgemm`` by the item's size, and the kernels behind them."""

    gemm: dict[int, int]
    core: str
    library: ctypes.CDLL


def load() -> Blas | None:
    """The library, or None where its wheel is not installed or does not fit this machine."""
    found = importlib.util.find_spec(PACKAGE)  # not imported: that would load it into everybody's namespace
    places = () if found is None else tuple(found.submodule_search_locations or ())
    paths = [path for place in places for name in NAMES if (path := Path(place, "lib", name)).is_file()]
    if not paths:
        return None
    try:
        library = ctypes.CDLL(str(paths[0]))
        library.scipy_openblas_set_num_threads(1)
        core = library.scipy_openblas_get_corename
        core.restype = ctypes.c_char_p
        addresses = {4: _address(library.scipy_cblas_sgemm), 8: _address(library.scipy_cblas_dgemm)}
        return Blas(addresses, (core() or b"").decode(), library)
    except (OSError, AttributeError):
        return None


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
