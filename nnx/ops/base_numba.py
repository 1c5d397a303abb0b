"""How kernels for the CPU are compiled, and which arrays they take.

A kernel treats a part of the rows (or of a flat buffer). Under the same name with ``team_`` in front there
is a loop over parts that Numba's threads share. A part is fixed by its number alone, so the same number of
parts gives the same result, whichever thread takes which part.

Rules that make a loop vectorize: it runs from 0 to the size of a slice (an index that could be negative
costs a branch), divisions do not look for zero (``error_model="numpy"``), sums say that they may be
reassociated, and NaN passes through every comparison (``x if not x <= 0 else 0``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from nnx.ops.base import Array, InPlace
from nnx.ops.cache_numba import CheckedCache

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

Scalar = Any
SMALL_ARRAY = 2**15  # numbers: below, one thread is done before another has begun
PART_ROWS = 16  # the least for a part: in a dense layer, each packs the whole of W for itself


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile at the first call, and keep the code on disk where a place for it can be written."""

    def decorate(function: Callable[..., Any]) -> Any:
        chosen = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}} | options
        chosen["no_cfunc_wrapper"] = True  # for C, which nobody calls these from
        try:
            dispatcher = numba.njit(cache=True, **chosen)(function)
        except RuntimeError:  # no folder to cache in: neither next to this file nor the user's own
            return numba.njit(**chosen)(function)
        dispatcher._cache = CheckedCache(dispatcher._cache)
        return dispatcher

    return decorate


part = compiled()
inner = compiled(no_cpython_wrapper=True)  # called by other kernels only
part_sum = compiled(fastmath={"contract", "reassoc"})
# Only the loop over parts is shared among threads: Numba would make a team of every array expression too.
NOT_SHARED = ("setitem", "numpy", "reduction", "comprehension", "stencil", "fusion", "inplace_binop")
team = compiled(parallel=dict.fromkeys(NOT_SHARED, False) | {"prange": True})


class Compiled(InPlace):
    """Base of the compiled forms.

    Attributes
    ----------
    threads : int
        How many parts the work is divided into at most.
    blas : Blas or None
        The BLAS that products run on, each on one thread; None where NumPy's is used.
    """

    threads: int
    blas: Any

    def _parts(self, rows: int) -> int:
        return max(1, min(self.threads, rows // PART_ROWS))

    def _total(self, team_kernel: Any, arguments: tuple[Any, ...], parts: int) -> float:
        """The sum of what a kernel finds in each part, always in their order."""
        totals = self._scratch((parts,), np.float64)
        team_kernel(*arguments, totals, parts)
        return float(sum(totals.tolist()))


def usual(like: Array, *others: Array | None) -> bool:
    """Whether arrays are contiguous, writeable and of one type: what kernels are compiled for."""
    dtype = like.dtype
    return like.flags.carray and all(a is None or (a.flags.carray and a.dtype == dtype) for a in others)
