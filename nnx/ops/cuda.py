"""CUDA kernels: the file of an operation contains their text, and this module compiles it at the first call.

``T`` is the type of the arrays. Every constant is written as ``T(…)``, so a float32 kernel uses no doubles.
Comparisons let NaN pass, like the plain forms, so that faults stay visible.

Elementwise kernels accept any strides and broadcast; an array among the outputs may also be read. Raw kernels
need C-contiguous arrays and use grid-stride loops. They are correct for any number of blocks, and for any
power of two of threads per block, including one. Most read and write four numbers of a thread at once, 16
bytes in float32, by `FOURS`; `Flat` makes such a kernel from the code for one element. If an array is not
aligned, the same kernel reads the same numbers one by one, and the same code computes with them.

No numbers are added by atomics, so the same inputs give the same bits; sums that blocks share only count
their blocks with one.
"""

from __future__ import annotations

import functools
from typing import Any

from nnx.ops.base import Array, OnGpu

THREADS = 256  # threads per block of the row kernels, which hold as many numbers in shared memory
OF_COLUMNS = 512  # threads per block of the kernels that sum over rows
OF_ELEMENTS = 128  # threads per block of kernels over elements, so that small arrays keep many SMs busy
SHARES = 128  # blocks of a sum over rows, if rows are shared
MOST = 65535  # blocks of a launch; if there are more parts, each block computes several

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

# Four neighbours of an array for each thread, read and written together: 16 bytes of float32. A part of an
# array has 4 blockDim.x numbers. At the array's end, and if `fours` is false because an array is not aligned,
# the same numbers are read one by one; after the end they are 0.
FOURS = """
template <typename N> struct alignas(sizeof(N) < 4 ? 4 * sizeof(N) : 16) nnx_pack { N at[4]; };
using nnx_four = nnx_pack<T>;
#define NNX_FOUR(k) _Pragma("unroll") for (int k = 0; k < 4; ++k)
#define NNX_PARTS_OF(size, part) \\
    for (long long part = 4ll * blockDim.x * blockIdx.x; part < size; part += 4ll * blockDim.x * gridDim.x)
template <typename N> __device__ inline bool nnx_aligned(const N* x) {
    return (unsigned long long)x % alignof(nnx_pack<N>) == 0;
}
template <typename N, typename F> __device__ inline nnx_pack<N> nnx_read_at(
        F at, long long part, long long size, bool fours) {  // at(i): where number i is
    nnx_pack<N> four{};
    const long long first = part + 4ll * threadIdx.x;
    if (fours && first + 3 < size) return *(const nnx_pack<N>*)at(first);
    NNX_FOUR(k) if (first + k < size) four.at[k] = *at(first + k);
    return four;
}
template <typename N> __device__ inline nnx_pack<N> nnx_read(
        const N* x, long long part, long long size, bool fours) {
    return nnx_read_at<N>([=](long long i) { return x + i; }, part, size, fours);
}
template <typename N> __device__ inline void nnx_store(
        N* x, long long part, long long size, bool fours, const nnx_pack<N>& four) {
    const long long first = part + 4ll * threadIdx.x;
    // at a place in an array of packs: before sm_100, compilers see no alignment in another form
    if (fours && first + 3 < size) ((nnx_pack<N>*)x)[part / 4 + threadIdx.x] = four;
    else NNX_FOUR(k) if (first + k < size) x[first + k] = four.at[k];
}
"""

# Sums over the rows of a matrix. A block has blockDim.x threads for a part of four columns each, and
# blockDim.y lanes of rows. `values(row, part, found)` computes COUNT numbers to sum for each column, from its
# row. Tall matrices have several blocks for the same columns: the one that ends last adds what all found, in
# the same order whichever it is. `done` counts them, and is 0 again afterwards. Kernels for several matrices
# of one shape have a block in z for each, if blocks share rows.
COLUMNS = (
    FOURS
    + f"\n#define NNX_OF_COLUMNS {OF_COLUMNS}"
    + """
// registers for two blocks on a multiprocessor: in float32, nothing is spilled then
#define NNX_OVER_COLUMNS __launch_bounds__(NNX_OF_COLUMNS, sizeof(T) == 4 ? 2 : 1)
struct nnx_sums {  // of four columns: of all numbers, and of up to 128 of them, so that rounding grows slowly
    nnx_four all{}, some{};
    int count = 0;
    __device__ void add(const nnx_four& values) {
        NNX_FOUR(k) some.at[k] += values.at[k];
        if (++count % 128 != 0) return;
        NNX_FOUR(k) all.at[k] += some.at[k];
        some = nnx_four{};
    }
    __device__ nnx_four total() const {
        nnx_four sum;
        NNX_FOUR(k) sum.at[k] = all.at[k] + some.at[k];
        return sum;
    }
};
__device__ inline nnx_four nnx_lanes(const nnx_four& value, nnx_four* shared) {  // Σ of all lanes, for each
    const unsigned int place = threadIdx.y * blockDim.x + threadIdx.x;
    shared[place] = value;
    __syncthreads();
    for (unsigned int half = blockDim.y / 2; half > 0; half /= 2) {
        if (threadIdx.y < half)
            NNX_FOUR(k) shared[place].at[k] += shared[place + half * blockDim.x].at[k];
        __syncthreads();
    }
    const nnx_four total = shared[threadIdx.x];
    __syncthreads();
    return total;
}
// Whether this block is the last one of its columns; then it sees what the others stored.
__device__ inline bool nnx_last(unsigned int* done) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) last = atomicAdd(done, 1u) + 1u == gridDim.y;
    __syncthreads();
    const bool found = last;
    __syncthreads();
    if (found) {
        __threadfence();
        if (threadIdx.x == 0 && threadIdx.y == 0) done[0] = 0;
    }
    return found;
}
template <int COUNT, typename F> __device__ inline void nnx_columns(
        F values, T* const (&sums)[COUNT], T* parts, unsigned int* done, long long rows, long long columns,
        bool fours) {
    __shared__ nnx_four shared[NNX_OF_COLUMNS];
    NNX_PARTS_OF(columns, part) {
        nnx_sums own[COUNT];
        const long long first = (long long)blockIdx.y * blockDim.y + threadIdx.y;
        for (long long row = first; row < rows; row += (long long)gridDim.y * blockDim.y) {
            nnx_four found[COUNT];
            values(row, part, found);
            for (int c = 0; c < COUNT; ++c) own[c].add(found[c]);
        }
        T* const others = parts + (long long)blockIdx.z * gridDim.y * COUNT * columns;
        for (int c = 0; c < COUNT; ++c) {
            const nnx_four total = nnx_lanes(own[c].total(), shared);
            T* const to = gridDim.y == 1 ? sums[c] : others + (blockIdx.y * COUNT + c) * columns;
            if (threadIdx.y == 0) nnx_store(to, part, columns, fours, total);
        }
        const long long counter = blockIdx.z * gridDim.x + part / (4 * blockDim.x);
        if (gridDim.y == 1 || !nnx_last(done + counter)) continue;
        for (int c = 0; c < COUNT; ++c) {
            nnx_sums every;
            for (unsigned int block = threadIdx.y; block < gridDim.y; block += blockDim.y)
                every.add(nnx_read(others + (block * COUNT + c) * columns, part, columns, fours));
            const nnx_four total = nnx_lanes(every.total(), shared);
            if (threadIdx.y == 0) nnx_store(sums[c], part, columns, fours, total);
        }
    }
}
"""
)

# Rows of a matrix, in parts of 4 blockDim.x numbers: each thread has four neighbours of a part, and reads and
# writes 16 bytes at a time if rows are aligned. A row of one part, with 256 threads up to 1,024 numbers, is
# read once and stays in registers.
ROWS = (
    FOURS
    + """
#define NNX_PARTS(part) for (long long part = 0; part < columns; part += 4ll * blockDim.x)
#define NNX_EACH(k, j, part) \\
    NNX_FOUR(k) if (const long long j = part + 4ll * threadIdx.x + k; j < columns)
__device__ inline bool nnx_in_fours(const T* row, long long columns) {
    return columns % 4 == 0 && nnx_aligned(row);
}
struct nnx_row {
    const T* row;
    long long columns, held;
    nnx_four four;
    __device__ nnx_row(const T* row, long long columns) : row(row), columns(columns), held(-1), four{} {}
    __device__ const nnx_four& operator[](long long part) {
        if (part != held) four = nnx_read(row, part, columns, nnx_in_fours(row, columns));
        held = part;
        return four;
    }
};
__device__ inline void nnx_write(T* row, long long columns, long long part, const nnx_four& four) {
    nnx_store(row, part, columns, nnx_in_fours(row, columns), four);
}
"""
)


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
        self, like: Array, arrays: tuple[Array, ...], *more: Any, blocks: int = MOST, each: int = 1
    ) -> None:
        """Launch the kernel with a block for each row of `like`, but with at most `blocks` blocks.

        A block has a thread for each `each` numbers of a row, and at most `THREADS`. `each` is 4 with `ROWS`.
        """
        rows, columns = like.shape
        threads = min(THREADS, max(32, power_of_two(-(-columns // each))))
        self.of(like.dtype)((min(rows, blocks),), (threads,), (*arrays, rows, columns, *more))

    def over_columns(
        self, ops: OnGpu, like: Array, arrays: tuple[Array, ...], *more: Any, sums: int = 1, groups: int = 1
    ) -> None:
        """Launch a kernel with `COLUMNS`, which computes `sums` sums for each column of `groups` matrices.

        Each is like `like`. A block has up to 16 columns and 512 threads. If there are many rows, but few
        blocks, more blocks share the rows of the same columns.
        """
        rows, columns = like.shape
        width = min(4, power_of_two(-(-columns // 4)))
        lanes = min(OF_COLUMNS // width, power_of_two(rows))
        blocks = -(-columns // (4 * width))
        shares = max(1, min(-(-rows // (8 * lanes)), SHARES // (blocks * groups)))
        parts = ops._buffer(
            "sums of columns", groups * sums * columns * shares if shares > 1 else 1, like.dtype
        )
        counters = ops._counter("columns done", SHARES)
        grid, block = (min(blocks, MOST), shares, min(groups, MOST)), (width, lanes)
        self.of(like.dtype)(grid, block, (*arrays, parts, counters, rows, columns, *more))

    def over_elements(self, like: Array, arrays: tuple[Array, ...], *more: Any) -> None:
        """Launch the kernel with a thread for each four elements of `like`, a vector or a matrix."""
        blocks = min(-(-max(like.size, 1) // (4 * OF_ELEMENTS)), MOST)
        self.of(like.dtype)((blocks,), (OF_ELEMENTS,), (*arrays, *like.shape, *more))

    def _made(self, number: str) -> Any:
        import cupy

        return cupy.RawKernel(f"typedef {number} T;\n{self.source}", self.function)


class Flat(Raw):
    """A raw kernel that computes each element of flat arrays of one size on its own, with `FOURS`.

    Parameters
    ----------
    name : str
        Name of the kernel; the function is called ``nnx_{name}``.
    inputs, outputs : str
        Types and names of one element: ``T w``. An output may also be read.
    more : str
        The kernel's other parameters: pointers, and numbers of the types ``T`` and ``long long``.
    body : str
        Code that computes element ``i``. It also runs for elements after the end, which are 0.
    """

    def __init__(self, name: str, inputs: str, outputs: str, more: str, body: str) -> None:
        read = [tuple(one.rsplit(" ", 1)) for one in inputs.split(", ")]
        written = [tuple(one.rsplit(" ", 1)) for one in outputs.split(", ") if one]
        every = read + written
        self.numbers = [one.startswith("T ") for one in more.split(", ")]
        parameters = [f"const {kind}* all_{name}" for kind, name in read]
        parameters += [f"{kind}* all_{name}" for kind, name in written]
        lines = [
            f'extern "C" __global__ void nnx_{name}({", ".join(parameters)}, long long size, {more}) {{',
            f"const bool fours = {' && '.join(f'nnx_aligned(all_{name})' for _, name in every)};",
            "NNX_PARTS_OF(size, part) {",
            *(
                f"nnx_pack<{kind}> four_{name} = nnx_read(all_{name}, part, size, fours);"
                for kind, name in every
            ),
            "NNX_FOUR(k) {",
            "const long long i = part + 4ll * threadIdx.x + k;",
            *(f"const {kind} {name} = four_{name}.at[k];" for kind, name in read),
            *(f"{kind}& {name} = four_{name}.at[k];" for kind, name in written),
            f"{body}\n}}",
            *(f"nnx_store(all_{name}, part, size, fours, four_{name});" for _, name in written),
            "}\n}\n",
        ]
        super().__init__(name, f"nnx_{name}", FOURS + "\n".join(lines))

    def launch(self, arrays: tuple[Array, ...], *more: Any) -> None:
        """Launch the kernel for its inputs and outputs, which are C-contiguous, and its other parameters."""
        dtype, size = arrays[0].dtype, arrays[0].size
        given = (dtype.type(one) if number else one for number, one in zip(self.numbers, more, strict=True))
        if size:
            self.over_elements(arrays[0].reshape(size), arrays, *given)


def power_of_two(number: int) -> int:
    """Return the smallest power of two ≥ `number`, a positive integer."""
    return 1 << (number - 1).bit_length()
