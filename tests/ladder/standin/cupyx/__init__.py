"""The part of CuPy's extensions that nnx uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy import _streams


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray[Any, Any]:
    """A host array in page-locked memory."""
    like = np.empty(shape, dtype, order)
    memory = _streams.alloc_pinned_memory(like.nbytes)
    return np.frombuffer(memory, like.dtype, like.size).reshape(like.shape, order=order)


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray[Any, Any]:
    """The same, of zeros."""
    array = empty_pinned(shape, dtype, order)
    array[...] = 0
    return array
