"""Softmax, a function of whole rows: y_j = e^x_j / Σ_k e^x_k, dx = y (dy − Σ_k dy_k y_k)."""

from __future__ import annotations

from nnx.ops.base import Array, Operations
from nnx.ops.cuda import BLOCK_SUMS, ROWS, Raw


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
    + ROWS
    + """
extern "C" __global__ void nnx_softmax(const T* x, T* y, long long rows, long long columns) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        nnx_row source(x + row * columns, columns);
        T top = x[row * columns];
        NNX_PARTS(part) {
            const nnx_four& four = source[part];
            NNX_EACH(k, j, part) top = four.at[k] > top ? four.at[k] : top;
        }
        top = nnx_block_max(top, shared);
        T sum = T(0);
        NNX_PARTS(part) {
            const nnx_four& four = source[part];
            NNX_EACH(k, j, part) sum += exp(four.at[k] - top);
        }
        sum = nnx_block_sum(sum, shared);
        NNX_PARTS(part) {
            nnx_four four = source[part];
            NNX_EACH(k, j, part) four.at[k] = exp(four.at[k] - top) / sum;
            nnx_write(y + row * columns, columns, part, four);
        }
    }
}
""",
)
BACKWARD = Raw(
    "softmax_backward",
    "nnx_softmax_backward",
    BLOCK_SUMS
    + ROWS
    + """
extern "C" __global__ void nnx_softmax_backward(
        const T* dy, const T* y, T* dx, long long rows, long long columns) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        nnx_row slopes(dy + row * columns, columns), outputs(y + row * columns, columns);
        T sum = T(0);
        NNX_PARTS(part) {
            const nnx_four &slope = slopes[part], &output = outputs[part];
            NNX_EACH(k, j, part) sum += slope.at[k] * output.at[k];
        }
        sum = nnx_block_sum(sum, shared);
        NNX_PARTS(part) {
            nnx_four four = slopes[part];
            const nnx_four& output = outputs[part];
            NNX_EACH(k, j, part) four.at[k] = output.at[k] * (four.at[k] - sum);
            nnx_write(dx + row * columns, columns, part, four);
        }
    }
}
""",
)
