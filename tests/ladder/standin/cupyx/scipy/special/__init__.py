"""Special functions, computed by SciPy."""

from __future__ import annotations

from typing import Any

from cupy import _functions


def __getattr__(name: str) -> Any:
    import scipy.special

    if name.startswith("__"):
        raise AttributeError(name)
    return _functions.ufunc(f"cupyx.scipy.special.{name}", getattr(scipy.special, name))
