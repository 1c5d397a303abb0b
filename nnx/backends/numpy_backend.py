"""The CPU with NumPy alone: operations in place, without temporary arrays.

``benchmarks/operations.py`` measures what each form in place saves. The plain forms allocate an array for
each intermediate result; for arrays of this size, the page faults cost more than the arithmetic.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from nnx.backends import threads
from nnx.backends.base import Backend
from nnx.ops.activations import ActivationsNumPy
from nnx.ops.averages import AveragesNumPy
from nnx.ops.base import Array
from nnx.ops.bfloat16 import Bfloat16NumPy
from nnx.ops.convolution import ConvolutionNumPy
from nnx.ops.dense import DenseNumPy
from nnx.ops.embedding import EmbeddingNumPy
from nnx.ops.gather import GatherNumPy
from nnx.ops.global_average import GlobalAverageNumPy
from nnx.ops.gradients import GradientsNumPy
from nnx.ops.losses import LossesNumPy
from nnx.ops.normalization import NormalizationNumPy
from nnx.ops.pooling import PoolingNumPy
from nnx.ops.prelu import PReLUNumPy
from nnx.ops.reductions import ReductionsNumPy
from nnx.ops.sparse import SparseNumPy
from nnx.ops.updates import UpdatesNumPy
from nnx.ops.upsampling import UpsamplingNumPy

ZEROS = -1  # the slot of the scratch memory with zeros


class NumpyBackend(
    GatherNumPy, DenseNumPy, SparseNumPy, ConvolutionNumPy, PoolingNumPy, GlobalAverageNumPy,
    UpsamplingNumPy, Bfloat16NumPy, ActivationsNumPy, PReLUNumPy, ReductionsNumPy, EmbeddingNumPy,
    NormalizationNumPy, LossesNumPy, UpdatesNumPy, AveragesNumPy, GradientsNumPy, Backend,
):  # fmt: skip
    """The CPU with NumPy."""

    name = "numpy"

    def __init__(self) -> None:
        self._local = threading.local()

    def _scratch(self, shape: tuple[int, ...], dtype: Any, slot: int = 0) -> Array:
        """Return an array for an intermediate result; each thread has its own, and slots never overlap."""
        try:
            views = self._local.views
        except AttributeError:
            views = self._local.views = {}
        key = (shape, dtype, slot)
        view = views.get(key)
        if view is None:
            if len(views) > 256:  # a limit, so that ever new shapes do not fill memory
                views.clear()
            view = views[key] = np.empty(shape, dtype=dtype)
        return view

    def _zeros(self, size: int, dtype: Any) -> Array:
        """Return zeros, which may only be read; each thread has its own."""
        zeros = self._scratch((size,), dtype, ZEROS)
        zeros.fill(0)
        return zeros

    def within_quota(self) -> AbstractContextManager[Any]:
        """See `Backend.within_quota`."""
        return threads.within_known_quota()

    def quiet(self) -> AbstractContextManager[Any]:
        """Return a context without NumPy's warnings: training itself finds and reports non-finite values."""
        return np.errstate(all="ignore")
