"""Softmax, a function of whole rows: y_j = e^x_j / Σ_k e^x_k, dx = y (dy − Σ_k dy_k y_k)."""

from __future__ import annotations

from nnx.ops.base import Array, Operations
from nnx.ops.cuda import BLOCK_SUMS, Raw


def softmax(ops: Operations, x: Array) -> Array:
    """e^x_j / Σ_k e^x_k over each row, shifted by the row's maximum."""
    xp = ops.xp
    e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def softmax_backward(ops: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    """Compute dx = y (dy − Σ_k dy_k y_k), row by row."""
    xp = ops.xp
    return y * (dy - xp.sum(dy * y, axis=1, keepdims=True))


FORWARD = Raw(
    "softmax",
    "nnx_softmax",
    BLOCK_SUMS
    + """
extern "C" __global__ void nnx_softmax(const T* x, T* y, long long rows, long long columns) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* source = x + row * columns;
        T* target = y + row * columns;
        T top = source[0];
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) top = source[j] > top ? source[j] : top;
        top = nnx_block_max(top, shared);
        T sum = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) sum += exp(source[j] - top);
        sum = nnx_block_sum(sum, shared);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) target[j] = exp(source[j] - top) / sum;
        __syncthreads();
    }
}
""",
)
BACKWARD = Raw(
    "softmax_backward",
    "nnx_softmax_backward",
    BLOCK_SUMS
    + """
extern "C" __global__ void nnx_softmax_backward(
        const T* dy, const T* y, T* dx, long long rows, long long columns) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const long long start = row * columns;
        T sum = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) sum += dy[start + j] * y[start + j];
        sum = nnx_block_sum(sum, shared);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x)
            dx[start + j] = y[start + j] * (dy[start + j] - sum);
    }
}
""",
)
