"""Divide a matrix product among threads, by a model of the caches.

Each core has an own first- and second-level cache; all share the third. A product of a (rows × inner) with an
(inner × columns) matrix is divided into tiles of the result: `r` parts of the rows times `c` parts of the
columns. The core of a tile reads rows / r rows of the first factor and columns / c columns of the second into
its own cache, and its BLAS packs them there. All tiles together read and pack

    inner · (c · rows + r · columns)

numbers, because each row is read for c tiles, and each column for r tiles. A read of rows counts `ROWS_COST`
times: the rows were just computed, and come from the cache of another core if they are not those of the own
tile. The least cost is chosen. So a batch of a few rows is divided by columns, where each core reads another
part of W; a large batch by rows; and both are divided for many threads.

The parts depend only on the shapes and the number of threads, never on a time. So the same number of threads
gives the same numbers.
"""

from __future__ import annotations

from functools import lru_cache

# With 1 instead of 4, batches of 256 rows were up to 9 % slower in one run on two cores, not in another.
ROWS_COST = 4
LINE = 16  # the fewest rows or columns of a part: a cache line has 16 numbers in float32
# Multiplications of the smallest part. With 2¹⁷, steps of networks of 32 and 64 units took up to 1.5 times as
# long as on one thread: a part took less time than another thread needs to start (benchmarks/narrow.py).
TASK = 2**18
FEW_ROWS = 8  # a product of fewer rows takes as long, because it waits for the other factor
# Up to so many multiplications, OpenBLAS computes without packing where the CPU has AVX-512. For few rows
# this saves up to half of the time (benchmarks/scaling.py), so there can be more parts than threads.
UNPACKED, SMALL_BATCH, NARROWEST = 10**6, 64, 32


@lru_cache(maxsize=1024)
def tiles(rows: int, columns: int, inner: int, threads: int) -> tuple[int, int]:
    """Return into how many parts rows and columns of a product are divided.

    Examples
    --------
    >>> tiles(rows=4, columns=512, inner=512, threads=2)
    (1, 2)
    >>> tiles(rows=1024, columns=64, inner=128, threads=2)
    (2, 1)
    """
    work = max(rows, FEW_ROWS) * columns * inner
    if work < 2 * TASK:
        return 1, 1
    most_rows, most_columns = max(1, rows // LINE), max(1, columns // LINE)
    count = min(threads, work // TASK, most_rows * most_columns)
    costs = {
        (r, count // r): count // r * rows * ROWS_COST + r * columns
        for r in range(1, count + 1)
        if count % r == 0 and r <= most_rows and count // r <= most_columns
    }
    r, c = min(costs, key=lambda pair: (costs[pair], -pair[0])) if costs else (most_rows, most_columns)
    if min(rows, inner) <= SMALL_BATCH:
        for times in (1, 2, 4, 8, 16):
            if columns // (c * times) >= NARROWEST and rows * columns * inner <= UNPACKED * r * c * times:
                return r, c * times
    return r, c
