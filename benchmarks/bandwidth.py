"""Measure how many bytes a second the cores read and write: a = b + s c ("triad"), on nnx's own threads.

Run by hand:  python benchmarks/bandwidth.py MEGABYTES

The three arrays together have the given size, so a small size measures a cache and a large one the memory.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
BEYOND_CACHES = 2**28  # bytes: more than the caches of a processor hold


def triad(size: int, cached: bool = True) -> Callable[[], None]:
    """Return a function that computes a = b + s c on arrays of together `size` bytes in float32.

    It takes the same arrays each time if `cached`, else each time others, which are in no cache any more.
    """
    import bandwidth_numba

    import nnx

    threads = nnx.resolve("numba").threads  # type: ignore[attr-defined]
    count = 1 if cached else BEYOND_CACHES // size + 2
    sets = cycle([tuple(np.ones(size // 12, np.float32) for _ in "abc") for _ in range(count)])
    return lambda: bandwidth_numba.triad(*next(sets), np.float32(2.0), threads)


def rate(size: int) -> float:
    """Return the bytes a second of the triad, a median."""
    run, seconds = triad(size), []
    for _ in range(60):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return size / statistics.median(seconds[10:])


def measured(size: int, threads: int) -> float:
    """Return `rate` in a new process with this number of threads."""
    import common

    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import bandwidth; print(bandwidth.rate({size}))"
    return float(common.output(code, common.environment(threads)))


if __name__ == "__main__":
    print(f"{rate(int(float(sys.argv[1]) * 1e6)) / 1e9:.1f} GB/s")
