"""The kernels of the normalizations."""

from __future__ import annotations

from nnx.ops.cuda import BLOCK_SUMS, ROWS, SUMS, Elementwise, Raw

# One block computes blockDim.x neighbouring columns, blockDim.y rows at a time, like nnx_bias_gradient in
# dense.py. `nnx_columns` adds the lanes' sums of a column; every lane gets the total.
COLUMNS = """
__device__ T nnx_columns(T value, T* shared) {
    const unsigned int place = threadIdx.y * blockDim.x + threadIdx.x;
    shared[place] = value;
    __syncthreads();
    T total = T(0);
    for (unsigned int lane = 0; lane < blockDim.y; ++lane) total += shared[lane * blockDim.x + threadIdx.x];
    __syncthreads();
    return total;
}
"""
MOMENTS = Raw(
    "batch_moments",
    "nnx_batch_moments",
    SUMS
    + COLUMNS
    + """
extern "C" __global__ void nnx_batch_moments(
        const T* x, T* mean, T* variance, long long rows, long long columns) {
    __shared__ T shared[512];
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long from = (long long)blockIdx.x * blockDim.x; from < columns; from += step) {
        const long long column = from + threadIdx.x;
        const bool here = column < columns;
        nnx_sum sum, shifts, products;
        for (long long row = threadIdx.y; here && row < rows; row += blockDim.y)
            sum.add(x[row * columns + column]);
        const T first = nnx_columns(sum.total(), shared) / T(rows);
        // the second pass corrects the first mean to the last digit
        for (long long row = threadIdx.y; here && row < rows; row += blockDim.y) {
            const T centred = x[row * columns + column] - first;
            shifts.add(centred);
            products.add(centred * centred);
        }
        const T shift = nnx_columns(shifts.total(), shared) / T(rows);
        const T squares = nnx_columns(products.total(), shared) / T(rows) - shift * shift;
        if (here && threadIdx.y == 0) {
            mean[column] = first + shift;
            variance[column] = squares < T(0) ? T(0) : squares;
        }
    }
}
""",
)
BATCH_NORM = Elementwise(
    "batch_norm",
    inputs="T x, T mean, T variance, T gamma, T beta, T epsilon",
    outputs="T y",
    body="y = gamma * ((x - mean) / sqrt(variance + epsilon)) + beta;",
)
# dβ = Σ dy and dγ = Σ dy x̂ of each column
BATCH_NORM_SUMS = Raw(
    "batch_norm_sums",
    "nnx_batch_norm_sums",
    SUMS
    + COLUMNS
    + """
extern "C" __global__ void nnx_batch_norm_sums(
        const T* dy, const T* x, const T* mean, const T* variance, T* dgamma, T* dbeta, long long rows,
        long long columns, T epsilon) {
    __shared__ T shared[512];
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long from = (long long)blockIdx.x * blockDim.x; from < columns; from += step) {
        const long long column = from + threadIdx.x;
        const bool here = column < columns;
        nnx_sum sums, projections;
        const T centre = here ? mean[column] : T(0), sigma = here ? sqrt(variance[column] + epsilon) : T(1);
        for (long long row = threadIdx.y; here && row < rows; row += blockDim.y) {
            const long long at = row * columns + column;
            sums.add(dy[at]);
            projections.add(dy[at] * ((x[at] - centre) / sigma));
        }
        const T sum = nnx_columns(sums.total(), shared);
        const T projection = nnx_columns(projections.total(), shared);
        if (here && threadIdx.y == 0) {
            dbeta[column] = sum;
            dgamma[column] = projection;
        }
    }
}
""",
)
BATCH_NORM_BACKWARD = Elementwise(
    "batch_norm_backward",
    inputs="T dy, T x, T mean, T variance, T gamma, T dgamma, T dbeta, T epsilon, T rows, bool constant",
    outputs="T dx",
    body="const T sigma = sqrt(variance + epsilon);"
    " const T centred = constant ? dy : dy - (dbeta + (x - mean) / sigma * dgamma) / rows;"
    " dx = gamma / sigma * centred;",
)
MOVING_AVERAGE = Elementwise(
    "moving_average",
    inputs="T x, T momentum, T rest",
    outputs="T y",
    body="y = y * momentum + rest * x;",
)
# The moments of a row, from two passes. The second mean is small: if it were added to the first, rounding
# would remove it. So both are subtracted, one after the other.
ROW_MOMENTS = """
__device__ void nnx_row_moments(
        nnx_row& x, long long columns, T epsilon, T* shared, T* first, T* shift, T* sigma) {
    T sum = T(0);
    NNX_PARTS(part) {
        const nnx_four& four = x[part];
        NNX_EACH(k, j, part) sum += four.at[k];
    }
    const T mean = nnx_block_sum(sum, shared) / T(columns);
    T rest = T(0);
    NNX_PARTS(part) {
        const nnx_four& four = x[part];
        NNX_EACH(k, j, part) rest += four.at[k] - mean;
    }
    rest = nnx_block_sum(rest, shared) / T(columns);
    T squares = T(0);
    NNX_PARTS(part) {
        const nnx_four& four = x[part];
        NNX_EACH(k, j, part) {
            const T centred = four.at[k] - mean - rest;
            squares += centred * centred;
        }
    }
    *first = mean;
    *shift = rest;
    *sigma = sqrt(nnx_block_sum(squares, shared) / T(columns) + epsilon);
}
"""
LAYER_NORM = Raw(
    "layer_norm",
    "nnx_layer_norm",
    BLOCK_SUMS
    + ROWS
    + ROW_MOMENTS
    + """
extern "C" __global__ void nnx_layer_norm(
        const T* x, const T* gamma, const T* beta, T* y, long long rows, long long columns, T epsilon) {
    __shared__ T shared[NNX_THREADS];
    nnx_row gammas(gamma, columns), betas(beta, columns);
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        nnx_row source(x + row * columns, columns);
        T first, shift, sigma;
        nnx_row_moments(source, columns, epsilon, shared, &first, &shift, &sigma);
        NNX_PARTS(part) {
            nnx_four four = source[part];
            const nnx_four &g = gammas[part], &b = betas[part];
            NNX_EACH(k, j, part) four.at[k] = g.at[k] * ((four.at[k] - first - shift) / sigma) + b.at[k];
            nnx_write(y + row * columns, columns, part, four);
        }
    }
}
""",
)
# dx of each row if `wanted`, and the row's moments for the sums over rows
LAYER_NORM_BACKWARD = Raw(
    "layer_norm_backward",
    "nnx_layer_norm_backward",
    BLOCK_SUMS
    + ROWS
    + ROW_MOMENTS
    + """
extern "C" __global__ void nnx_layer_norm_backward(
        const T* dy, const T* x, const T* gamma, T* dx, T* moments, long long rows, long long columns,
        T epsilon, long long wanted) {
    __shared__ T shared[NNX_THREADS];
    nnx_row gammas(gamma, columns);
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        nnx_row source(x + row * columns, columns), slopes(dy + row * columns, columns);
        T first, shift, sigma;
        nnx_row_moments(source, columns, epsilon, shared, &first, &shift, &sigma);
        if (threadIdx.x == 0) {
            moments[3 * row] = first;
            moments[3 * row + 1] = shift;
            moments[3 * row + 2] = sigma;
        }
        if (!wanted) continue;
        T sum = T(0), projection = T(0);
        NNX_PARTS(part) {
            const nnx_four &four = source[part], &slope = slopes[part], &g = gammas[part];
            NNX_EACH(k, j, part) {
                sum += g.at[k] * slope.at[k];
                projection += g.at[k] * slope.at[k] * ((four.at[k] - first - shift) / sigma);
            }
        }
        sum = nnx_block_sum(sum, shared) / T(columns);
        projection = nnx_block_sum(projection, shared) / T(columns);
        NNX_PARTS(part) {
            nnx_four four = source[part];
            const nnx_four &slope = slopes[part], &g = gammas[part];
            NNX_EACH(k, j, part)
                four.at[k] =
                    (g.at[k] * slope.at[k] - sum - (four.at[k] - first - shift) / sigma * projection) / sigma;
            nnx_write(dx + row * columns, columns, part, four);
        }
    }
}
""",
)
# dβ = Σ dy and dγ = Σ dy x̂ of each column, from the moments of each row
LAYER_NORM_SUMS = Raw(
    "layer_norm_sums",
    "nnx_layer_norm_sums",
    SUMS
    + COLUMNS
    + """
extern "C" __global__ void nnx_layer_norm_sums(
        const T* dy, const T* x, const T* moments, T* dgamma, T* dbeta, long long rows, long long columns) {
    __shared__ T shared[512];
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long from = (long long)blockIdx.x * blockDim.x; from < columns; from += step) {
        const long long column = from + threadIdx.x;
        const bool here = column < columns;
        nnx_sum sums, projections;
        for (long long row = threadIdx.y; here && row < rows; row += blockDim.y) {
            const long long at = row * columns + column;
            sums.add(dy[at]);
            const T* of = moments + 3 * row;
            projections.add(dy[at] * ((x[at] - of[0] - of[1]) / of[2]));
        }
        const T sum = nnx_columns(sums.total(), shared);
        const T projection = nnx_columns(projections.total(), shared);
        if (here && threadIdx.y == 0) {
            dbeta[column] = sum;
            dgamma[column] = projection;
        }
    }
}
""",
)
