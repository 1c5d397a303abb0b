"""Measure how many bytes a second the cores read and write: a = b + s c ("triad"), on nnx's own threads.

Run by hand:  python benchmarks/bandwidth.py MEGABYTES

The three arrays together have the given size, so a small size measures a cache and a large one the memory.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def triad(size: int) -> float:
    """Return the bytes a second of the triad on arrays of together `size` bytes in float32, a median."""
    import numba

    import nnx

    threads = nnx.resolve("numba").threads

    @numba.njit(parallel=True, nogil=True, fastmath={"contract"})  # type: ignore[untyped-decorator]
    def run(a: Any, b: Any, c: Any, s: Any) -> None:
        for part in numba.prange(threads):
            low, high = part * a.size // threads, (part + 1) * a.size // threads
            first, second, third = a[low:high], b[low:high], c[low:high]
            for i in range(first.size):
                first[i] = second[i] + s * third[i]

    a, b, c = (np.ones(size // 12, np.float32) for _ in "abc")
    seconds = []
    for _ in range(60):
        began = time.perf_counter()
        run(a, b, c, np.float32(2.0))
        seconds.append(time.perf_counter() - began)
    return 3 * a.nbytes / statistics.median(seconds[10:])


def measured(size: int, threads: int) -> float:
    """Return `triad` in a new process with this number of threads."""
    import common

    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import bandwidth; print(bandwidth.triad({size}))"
    return float(common.output(code, common.environment(threads)))


if __name__ == "__main__":
    print(f"{triad(int(float(sys.argv[1]) * 1e6)) / 1e9:.1f} GB/s")
