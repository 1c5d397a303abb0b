"""Load a private OpenBLAS on one thread.

The wheel ``scipy-openblas32`` (SciPy is built with it) contains a second copy of the library. It is loaded
privately, on one thread. NumPy's and SciPy's copies do not affect it, whatever the order of imports. Only
threadpoolctl, which changes every OpenBLAS of a process, changes it too; see `OneThread`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path
from typing import Any

PACKAGE = "scipy_openblas32"
NAMES = ("libscipy_openblas.so", "libscipy_openblas.dylib", "libscipy_openblas.dll")
# The tested versions, see pyproject.toml; other versions are not used.
OLDEST, BEFORE = (0, 3, 28), (0, 3, 35)
WANTED = "scipy-openblas32>=0.3.28,<0.3.35"
_VERSION = re.compile(r"OpenBLAS (\d+)\.(\d+)\.(\d+)")
_MOST = re.compile(r"MAX_THREADS=(\d+)")


def load() -> ctypes.CDLL | None:
    """Return the library; None if its wheel is missing, or its version was not tested."""
    found = importlib.util.find_spec(PACKAGE)  # an import would make its symbols visible to other libraries
    places = () if found is None else tuple(found.submodule_search_locations or ())
    paths = [path for place in places for name in NAMES if (path := Path(place, "lib", name)).is_file()]
    if not paths:
        return None
    try:
        library = ctypes.CDLL(str(paths[0]))
        if not tested(_text(library.scipy_openblas_get_config)):
            return None
        OneThread(library).__enter__()
        _ = library.scipy_cblas_sgemm, library.scipy_cblas_dgemm, library.scipy_openblas_get_corename
        return library
    except (OSError, AttributeError):
        return None


class OneThread:
    """A context that sets the library to one thread when it is entered.

    ``threadpool_limits(2)`` of a user sets it to 2. Each of the kernels' threads would then share its product
    among 2 more: a step takes 1.4 times as long, and its last digits are others.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.count, self.set = (
            library.scipy_openblas_get_num_threads,
            library.scipy_openblas_set_num_threads,
        )

    def __enter__(self) -> None:
        if self.count() != 1:
            self.set(1)

    def __exit__(self, *error: object) -> None:
        pass


def describe(library: ctypes.CDLL) -> str:
    """Return its name, version and kernels: ``"OpenBLAS 0.3.34 (Zen)"``."""
    version = _VERSION.match(_text(library.scipy_openblas_get_config))
    return f"{version[0] if version else 'OpenBLAS'} ({_text(library.scipy_openblas_get_corename)})"


def most_threads(library: ctypes.CDLL) -> int | None:
    """Return how many threads it is built for, as its description says.

    If more threads call it at the same time, it has too little memory: it warns, and if many more do, it ends
    the process.
    """
    found = _MOST.search(_text(library.scipy_openblas_get_config))
    return int(found[1]) if found else None


def tested(config: str) -> bool:
    """Return whether a library's description names a tested version with 32-bit integers."""
    found = _VERSION.match(config)
    if found is None or "USE64BITINT" in config:
        return False
    return OLDEST <= tuple(int(part) for part in found.groups()) < BEFORE


def _text(function: Any) -> str:
    """Call a function of the library that returns a text."""
    function.restype = ctypes.c_char_p
    return (function() or b"").decode()
