"""The types of arrays that readers return."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nnx.errors import ConfigurationError

Array = npt.NDArray[Any]


def choose_dtype(dtype: npt.DTypeLike, allowed: tuple[str, ...] = ("float32", "float64")) -> np.dtype[Any]:
    """Return `dtype` as a NumPy type; refuse one that is not in `allowed`."""
    try:
        chosen = np.dtype(dtype)
    except TypeError:
        chosen = None
    # np.dtype(None) is float64, which nobody asked for: None is refused too.
    if dtype is None or chosen is None or chosen.name not in allowed:
        raise ConfigurationError(f"data type {dtype!r} is not supported here: choose {', '.join(allowed)}")
    return chosen
