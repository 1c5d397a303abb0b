"""The gradient of a lookup in a table, and rows that are taken from a table and written to it.

The lookup itself, y[i] = W[x[i]], is `gather`. Its gradient, dW[v] = Σ dy[i] over the positions i with x[i] =
v, adds several rows of dy to one row of dW. Here, no two threads write one number, and each sum has a fixed
order: the positions are sorted by (x, i), so that the positions of a row are neighbours, a *run*. The first
place of a run gets the sum of its run.

Runs are summed in blocks of about √n places, so rounding errors grow like √n, as in `sums`; n is the
number of positions.
"""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import THREADS, Elementwise, Raw, power_of_two

NONE = -1  # in `rows`: no row


class Embedding(Operations):
    """The operations in the plain form."""

    def embedding_backward(self, dy: Array, x: Array, rows: Array, sums: Array) -> Array:
        """Sum dy over the positions of each row: sums[i] = Σ dy[p] over all p with x[p] = rows[i].

        `x` of shape (n,) holds row numbers of int64, `dy` and `sums` have the shape (n, units). In `rows` of
        shape (n,), each number of x is written once, in ascending order, and −1 in all other places, where
        sums[i] = 0. So the shapes do not depend on the numbers, and nobody waits for the device.
        """
        xp = self.xp
        order = xp.argsort(x, kind="stable")
        ordered = x[order]
        places = xp.arange(x.size)
        first = xp.searchsorted(ordered, ordered)  # the first place of the run of each place
        rows[...] = xp.where(first == places, ordered, NONE)
        block = block_of(x.size)
        parts = xp.zeros_like(sums)
        xp.add.at(parts, xp.maximum(first, places - places % block), dy[order])
        sums[...] = 0.0
        xp.add.at(sums, first, parts)
        return rows

    def category_places(self, x: Array, limits: Array, begins: Array, places: Array) -> Array:
        """places[i, j] = begins[j] + the category x[i, j], or 0 in its place if it is not below limits[j].

        x holds categories as floats, `begins` and `places` whole numbers of int64.
        """
        xp = self.xp
        rounded = xp.rint(x)
        known = xp.logical_and(rounded >= 0.0, rounded < limits)
        places[...] = xp.where(known, rounded, 0.0)
        places += begins
        return places

    def take_rows(self, source: Array, rows: Array, out: Array) -> Array:
        """out[i] = source[rows[i]], or 0 where rows[i] = −1."""
        xp = self.xp
        out[...] = xp.where((rows >= 0)[:, None], xp.take(source, xp.maximum(rows, 0), axis=0), 0.0)
        return out

    def put_rows(self, target: Array, rows: Array, values: Array | None) -> Array:
        """target[rows[i]] = values[i] where rows[i] ≥ 0; None stands for zeros. Other rows do not change."""
        used = rows >= 0
        target[rows[used]] = 0.0 if values is None else values[used]
        return target


class EmbeddingNumPy(InPlace, Embedding):
    """The operations on NumPy, with a sort in place and `numpy.add.reduceat`."""

    def embedding_backward(self, dy: Array, x: Array, rows: Array, sums: Array) -> Array:
        """Sort keys in which x is followed by the position, so that no two are equal, and sum the runs.

        `numpy.add.reduceat` adds the places of a run pairwise, so rounding errors grow even less.
        """
        keys = self._sorted(x)
        bits = position_bits(x.size)
        np.right_shift(keys, bits, out=rows)
        keys &= (1 << bits) - 1
        ordered = np.take(dy, keys, axis=0, out=self._scratch(dy.shape, dy.dtype), mode="clip")
        first = self._scratch((x.size,), np.dtype(bool))
        first[0] = True
        np.not_equal(rows[1:], rows[:-1], out=first[1:])
        sums.fill(0)
        sums[first] = np.add.reduceat(ordered, np.flatnonzero(first), axis=0)
        np.copyto(rows, NONE, where=np.logical_not(first, out=first))
        return rows

    def _sorted(self, x: Array) -> Array:
        """Return the sorted keys: x in the high bits, and the position in the low bits."""
        keys = self._scratch(x.shape, x.dtype)
        np.left_shift(x, position_bits(x.size), out=keys)
        keys |= np.arange(x.size)
        keys.sort()
        return keys


SORT_TILES = Raw(
    "sort_tiles",
    "nnx_sort_tiles",
    """
extern "C" __global__ void nnx_sort_tiles(
        const long long* x, long long* keys, long long n, long long bits, long long tile) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const long long begin = i - i % tile, key = x[i] << bits | i;
        const long long end = begin + tile < n ? begin + tile : n;
        long long place = begin;
        for (long long j = begin; j < end; ++j) place += (x[j] << bits | j) < key;
        keys[place] = key;
    }
}
""",
)
MERGE_TILES = Raw(
    "merge_tiles",
    "nnx_merge_tiles",
    """
extern "C" __global__ void nnx_merge_tiles(
        const long long* from, long long* to, long long n, long long width) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const long long key = from[i], begin = i - i % (2 * width);
        const long long middle = begin + width < n ? begin + width : n;
        const long long end = begin + 2 * width < n ? begin + 2 * width : n;
        const long long other = i < middle ? middle : begin;  // smaller keys of the other tile count
        long long low = other, high = i < middle ? end : middle;
        while (low < high) {
            const long long half = (low + high) / 2;
            if (from[half] < key) low = half + 1; else high = half;
        }
        to[begin + (i - (i < middle ? begin : middle)) + (low - other)] = key;
    }
}
""",
)
# A block sums a run: blockDim.x neighbouring columns, blockDim.y places at a time.
SUM_RUNS = Raw(
    "sum_runs",
    "nnx_sum_runs",
    """
extern "C" __global__ void nnx_sum_runs(
        const T* dy, const long long* keys, long long* rows, T* sums, long long n, long long columns,
        long long bits) {
    __shared__ T shared[512];
    const long long positions = (1LL << bits) - 1;
    for (long long place = blockIdx.x; place < n; place += gridDim.x) {
        const long long row = keys[place] >> bits;
        const bool first = place == 0 || keys[place - 1] >> bits != row;
        if (threadIdx.x == 0 && threadIdx.y == 0) rows[place] = first ? row : -1;
        for (long long left = 0; left < columns; left += blockDim.x) {
            const long long column = left + threadIdx.x;
            T sum = T(0), some = T(0);  // of all places, and of up to 128 of them: rounding grows as slowly
            if (first && column < columns) {
                int count = 0;
                for (long long p = place + threadIdx.y; p < n && keys[p] >> bits == row; p += blockDim.y) {
                    some += dy[(keys[p] & positions) * columns + column];
                    if (++count % 128 == 0) { sum += some; some = T(0); }
                }
            }
            sum += some;
            shared[threadIdx.y * blockDim.x + threadIdx.x] = sum;
            __syncthreads();
            if (threadIdx.y == 0 && column < columns) {
                for (unsigned int lane = 1; lane < blockDim.y; ++lane)
                    sum += shared[lane * blockDim.x + threadIdx.x];
                sums[place * columns + column] = sum;
            }
            __syncthreads();
        }
    }
}
""",
)
CATEGORY_PLACES = Elementwise(
    "category_places",
    inputs="T x, T limit, int64 begin",
    outputs="int64 place",
    body="const T category = rint(x);"
    " place = begin + (category >= T(0) && category < limit ? (long long)category : 0ll);",
)
TAKE_ROWS = Elementwise(
    "take_rows",
    inputs="raw T source, raw int64 rows, int64 columns",
    outputs="T x",
    body="const long long row = rows[i / columns]; x = row < 0 ? T(0) : source[row * columns + i % columns];",
)
PUT_ROWS = Raw(
    "put_rows",
    "nnx_put_rows",
    """
extern "C" __global__ void nnx_put_rows(
        T* target, const long long* rows, const T* values, long long n, long long columns, long long wanted) {
    const long long step = (long long)gridDim.x * blockDim.x, count = n * columns;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const long long row = rows[i / columns];
        if (row >= 0) target[row * columns + i % columns] = wanted ? values[i] : T(0);
    }
}
""",
)


class EmbeddingCuPy(OnGpu, Embedding):
    """The operations on the GPU. A sort by merging needs no atomics, and does not wait for the device."""

    def embedding_backward(self, dy: Array, x: Array, rows: Array, sums: Array) -> Array:
        """Use ⌈log₂(n / 256)⌉ + 2 launches: sort tiles of 256 keys, merge them pair by pair, sum the runs."""
        n, columns = dy.shape
        bits, kernel = position_bits(n), dy.dtype
        with self._hold:
            keys, merged = (self._buffer(f"embedding {turn}", n, x.dtype)[:n] for turn in ("keys", "merged"))
            grid = (min(-(-n // THREADS), 65535),)
            SORT_TILES.of(kernel)(grid, (THREADS,), (x, keys, n, bits, THREADS))
            width = THREADS
            while width < n:
                MERGE_TILES.of(kernel)(grid, (THREADS,), (keys, merged, n, width))
                keys, merged, width = merged, keys, 2 * width
            lanes = min(32, power_of_two(columns))
            SUM_RUNS.of(kernel)(
                (min(n, 65535),),
                (lanes, min(8, power_of_two(n))),
                (self.xp.ascontiguousarray(dy), keys, rows, sums, n, columns, bits),
            )
        return rows

    def category_places(self, x: Array, limits: Array, begins: Array, places: Array) -> Array:
        """Use one launch."""
        with self._hold:
            CATEGORY_PLACES.kernel(x, limits, begins, places)
        return places

    def take_rows(self, source: Array, rows: Array, out: Array) -> Array:
        """Take rows with one launch."""
        with self._hold:
            TAKE_ROWS.kernel(source, rows, out.shape[1], out)
        return out

    def put_rows(self, target: Array, rows: Array, values: Array | None) -> Array:
        """Write rows with one launch."""
        n, columns = rows.size, target.shape[1]
        with self._hold:
            given = target if values is None else values
            PUT_ROWS.of(target.dtype)(
                (min(-(-n * columns // THREADS), 65535),),
                (THREADS,),
                (target, rows, given, n, columns, int(values is not None)),
            )
        return target


def position_bits(positions: int) -> int:
    """Return how many bits of a key hold the position; the others hold the row number."""
    return max(1, (positions - 1).bit_length())


def block_of(positions: int) -> int:
    """Return how many neighbouring places are summed one by one."""
    return max(128, math.isqrt(positions))
