"""Compile kernels for the CPU, and decide which arrays they accept.

A kernel computes a segment of the rows, or of a flat buffer. The function of the same name with the prefix
``team_`` lets Numba's threads share the segments (`share_numba`), and is what Python calls. A segment depends
only on its number, so the same number of segments gives the same result, whichever thread computes a segment.

Rules for a short compilation: Python calls only ``team_`` functions, so a kernel needs no wrapper for Python.
Each function is compiled separately, so small ones that only one kernel needs are part of it. Functions that
Python does not call become machine code only as parts of kernels (`linked_numba`).

Rules for loops that the compiler can vectorize: a loop runs from 0 to the size of a slice (an index that
could be negative costs a branch), divisions do not check for zero (``error_model="numpy"``), sums may be
reordered (``reassoc``), and NaN passes through every comparison (``x if not x <= 0 else 0``).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numba
import numpy as np

from nnx.ops.base import Array, InPlace
from nnx.ops.cache_numba import CheckedCache

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

Scalar = Any
SMALL_ARRAY = 2**15  # numbers: with fewer, one thread finishes before another has started
LINKED = ((0, 68),)  # versions of Numba with which `linked_numba` was tested; it uses private parts of Numba
SEGMENT_ROWS = 16  # the fewest rows of a segment: in a dense layer, each segment packs all of W again


OPTIONS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "no_cfunc_wrapper": True,
}  # fmt: skip


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles at the first call, and saves the code on disk if possible."""

    def decorate(function: Callable[..., Any]) -> Any:
        chosen = OPTIONS | options
        try:
            dispatcher = numba.njit(cache=True, **chosen)(function)
        except RuntimeError:  # no writable folder, next to this file or of the user
            return numba.njit(**chosen)(function)
        dispatcher._cache = CheckedCache(dispatcher._cache)
        dispatcher.compile = _without_collector(dispatcher.compile)
        return dispatcher

    return decorate


def only_called(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator for functions that only other kernels call, and that are saved with those."""
    chosen = OPTIONS | {"no_cpython_wrapper": True} | options
    if numba.version_info.short not in LINKED:
        return compiled(**chosen)
    from nnx.ops.linked_numba import LinkedCompiler  # imports what other versions may not have

    return lambda function: numba.njit(pipeline_class=LinkedCompiler, **chosen)(function)


def _without_collector(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Pause Python's garbage collector while a kernel is compiled; it would take a tenth of the time."""

    @wraps(compile_)
    def run(*arguments: Any) -> Any:
        if not gc.isenabled():
            return compile_(*arguments)
        gc.disable()
        try:
            return compile_(*arguments)
        finally:
            gc.enable()

    return run


team = compiled()
inner = only_called()
inner_sum = only_called(fastmath={"contract", "reassoc"})


class Compiled(InPlace):
    """Base of the compiled forms.

    Attributes
    ----------
    threads : int
        The largest number of segments into which work is divided.
    blas : Blas or None
        The BLAS that computes products, each on one thread; None if NumPy's BLAS is used.
    """

    threads: int
    blas: Any

    def _segments(self, rows: int) -> int:
        return max(1, min(self.threads, rows // SEGMENT_ROWS))

    def _total(self, team_kernel: Any, arguments: tuple[Any, ...], segments: int) -> float:
        """Return the sum of a kernel's results for all segments, always added in the same order."""
        totals = self._scratch((segments,), np.float64)
        team_kernel(*arguments, totals, segments)
        return float(sum(totals.tolist()))


def usual(like: Array, *others: Array | None) -> bool:
    """Return whether arrays are contiguous, writeable and of one type, as compiled kernels need."""
    dtype = like.dtype
    return like.flags.carray and all(a is None or (a.flags.carray and a.dtype == dtype) for a in others)


@lru_cache(maxsize=1024)
def numbers(count: int) -> Array:
    """Return the array 0, 1, …, `count` − 1: the numbers of the tiles, which threads share."""
    return np.arange(count)
