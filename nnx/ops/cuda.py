"""CUDA kernels: the file of an operation contains their text, and this module compiles it at the first call.

``T`` is the type of the arrays. Every constant is written as ``T(…)``, so a float32 kernel uses no doubles.
Comparisons let NaN pass, like the plain forms, so that faults stay visible.

Elementwise kernels accept any strides and broadcast; an array among the outputs may also be read. Raw kernels
need C-contiguous arrays and use grid-stride loops. They are correct for any number of blocks, and for any
power of two of threads per block, including one. No numbers are added by atomics, so the same inputs give the
same bits; only the losses count their blocks with one.
"""

from __future__ import annotations

import functools
from typing import Any

from nnx.ops.base import Array

THREADS = 256  # threads per block of the row kernels, which hold as many numbers in shared memory

FUNCTIONS = """
template <typename T> __device__ inline T nnx_sigmoid(T x) {
    T e = exp(-fabs(x));
    return (x >= T(0) ? T(1) : e) / (T(1) + e);
}
template <typename T> __device__ inline T nnx_softplus(T x) {
    return (x < T(0) ? T(0) : x) + log1p(exp(-fabs(x)));
}
template <typename T> __device__ inline T nnx_clip(T x, T low, T high) {
    return x < low ? low : (x > high ? high : x);
}
template <typename T> __device__ inline T nnx_sign(T x) {
    return x > T(0) ? T(1) : (x < T(0) ? T(-1) : x);
}
"""

SUMS = """
struct nnx_sum {  // of all numbers, and of up to 128 of them: rounding grows as slowly
    T all = T(0), some = T(0);
    int count = 0;
    __device__ void add(T value) {
        some += value;
        if (++count % 128 == 0) { all += some; some = T(0); }
    }
    __device__ T total() const { return all + some; }
};
"""

BLOCK_SUMS = (
    f"\n#define NNX_THREADS {THREADS}"
    + """
__device__ T nnx_block_sum(T value, T* shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    T total = shared[0];
    __syncthreads();
    return total;
}
__device__ T nnx_block_max(T value, T* shared) {
    shared[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half && shared[threadIdx.x + half] > shared[threadIdx.x])
            shared[threadIdx.x] = shared[threadIdx.x + half];
        __syncthreads();
    }
    T top = shared[0];
    __syncthreads();
    return top;
}
"""
)

# Rows of a matrix, in parts of 4 blockDim.x numbers: each thread has four neighbours of a part, and reads and
# writes 16 bytes at a time if rows are aligned. A row of one part, with 256 threads up to 1,024 numbers, is
# read once and stays in registers.
ROWS = """
struct alignas(16) nnx_four { T at[4]; };
#define NNX_PARTS(part) for (long long part = 0; part < columns; part += 4ll * blockDim.x)
#define NNX_EACH(k, j, part) \\
    for (int k = 0; k < 4; ++k) if (const long long j = part + 4ll * threadIdx.x + k; j < columns)
__device__ inline bool nnx_in_fours(const T* row, long long columns) {
    return columns % 4 == 0 && (unsigned long long)row % 16 == 0;
}
struct nnx_row {
    const T* row;
    long long columns, held;
    nnx_four four;
    __device__ nnx_row(const T* row, long long columns) : row(row), columns(columns), held(-1), four{} {}
    __device__ const nnx_four& operator[](long long part) {
        if (part == held) return four;
        held = part;
        const long long first = part + 4ll * threadIdx.x;
        if (nnx_in_fours(row, columns)) {
            if (first < columns) four = *(const nnx_four*)(row + first);
        } else {
            NNX_EACH(k, j, part) four.at[k] = row[j];
        }
        return four;
    }
};
__device__ inline void nnx_write(T* row, long long columns, long long part, const nnx_four& four) {
    const long long first = part + 4ll * threadIdx.x;
    if (nnx_in_fours(row, columns)) {
        if (first < columns) *(nnx_four*)(row + first) = four;
    } else {
        NNX_EACH(k, j, part) row[j] = four.at[k];
    }
}
"""


class Elementwise:
    """A kernel that computes each element on its own.

    Parameters
    ----------
    name : str
        Name of the kernel; the function is called ``nnx_{name}``.
    inputs, outputs : str
        Types and names, as for `cupy.ElementwiseKernel`.
    body : str
        Code that computes one element.
    preamble : str
        Functions that the body calls.
    """

    known: dict[str, Elementwise] = {}  # noqa: RUF012 - every kernel of the package, for the tests

    def __init__(self, name: str, inputs: str, outputs: str, body: str, preamble: str = "") -> None:
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self.body, self.preamble = body, preamble
        Elementwise.known[name] = self

    @functools.cached_property
    def kernel(self) -> Any:
        """Return CuPy's kernel, which is compiled at its first call for each type and device."""
        import cupy

        return cupy.ElementwiseKernel(
            self.inputs, self.outputs, self.body, f"nnx_{self.name}", preamble=self.preamble
        )


class Raw:
    """A kernel that computes many elements together.

    Parameters
    ----------
    name : str
        Name of the kernel in the tests.
    function : str
        Name of the ``__global__`` function.
    source : str
        The code without its first line, ``typedef float T;``.
    """

    known: dict[str, Raw] = {}  # noqa: RUF012 - every kernel of the package, for the tests

    def __init__(self, name: str, function: str, source: str) -> None:
        self.name, self.function, self.source = name, function, source
        Raw.known[name] = self

    @functools.cached_property
    def float32(self) -> Any:
        """Return CuPy's kernel for float32, compiled at its first call."""
        return self._made("float")

    @functools.cached_property
    def float64(self) -> Any:
        """Return CuPy's kernel for float64, compiled at its first call."""
        return self._made("double")

    def of(self, dtype: Any) -> Any:
        """Return CuPy's kernel for a type."""
        return self.float32 if dtype.itemsize == 4 else self.float64

    def over_rows(
        self, like: Array, arrays: tuple[Array, ...], *more: Any, blocks: int = 65535, each: int = 1
    ) -> None:
        """Launch the kernel with a block for each row of `like`, but with at most `blocks` blocks.

        A block has a thread for each `each` numbers of a row, and at most `THREADS`. `each` is 4 with `ROWS`.
        """
        rows, columns = like.shape
        threads = min(THREADS, max(32, power_of_two(-(-columns // each))))
        self.of(like.dtype)((min(rows, blocks),), (threads,), (*arrays, rows, columns, *more))

    def over_columns(self, like: Array, arrays: tuple[Array, ...], *more: Any) -> None:
        """Launch the kernel with blocks of up to 32 columns of `like`, and up to 512 threads."""
        rows, columns = like.shape
        width = min(32, power_of_two(columns))
        blocks = min(-(-columns // width), 65535)
        shape = (width, min(512 // width, power_of_two(rows)))
        self.of(like.dtype)((blocks,), shape, (*arrays, rows, columns, *more))

    def _made(self, number: str) -> Any:
        import cupy

        return cupy.RawKernel(f"typedef {number} T;\n{self.source}", self.function)


def power_of_two(number: int) -> int:
    """Return the smallest power of two ≥ `number`, a positive integer."""
    return 1 << (number - 1).bit_length()
