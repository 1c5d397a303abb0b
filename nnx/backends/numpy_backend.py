"""The CPU by NumPy alone: operations in place, without temporary arrays.

What each form in place saves is measured by ``benchmarks/operations.py``: the plain forms allocate an array
for each intermediate result, and on arrays of this size the page faults cost more than the arithmetic.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnx.backends.base import Backend
from nnx.ops.activations import ActivationsNumPy
from nnx.ops.base import Array
from nnx.ops.dense import DenseNumPy
from nnx.ops.gather import GatherNumPy
from nnx.ops.gradients import GradientsNumPy
from nnx.ops.losses import LossesNumPy
from nnx.ops.normalization import NormalizationNumPy
from nnx.ops.updates import UpdatesNumPy


class NumpyBackend(
    GatherNumPy, DenseNumPy, ActivationsNumPy, NormalizationNumPy, LossesNumPy, UpdatesNumPy, GradientsNumPy,
    Backend,
):  # fmt: skip
    """The CPU by NumPy."""

    name = "numpy"

    def __init__(self) -> None:
        self._local = threading.local()

    def _scratch(self, shape: tuple[int, ...], dtype: Any, slot: int = 0) -> Array:
        """Room for an intermediate, kept for each thread; slots never overlap."""
        try:
            views = self._local.views
        except AttributeError:
            views = self._local.views = {}
        key = (shape, dtype, slot)
        view = views.get(key)
        if view is None:
            if len(views) > 256:  # shapes come and go: a bound, so that a long life does not collect them
                views.clear()
            view = views[key] = np.empty(shape, dtype=dtype)
        return view

    def quiet(self) -> AbstractContextManager[Any]:
        """No warnings from NumPy: training looks for what is not finite itself, and names it."""
        return np.errstate(all="ignore")
