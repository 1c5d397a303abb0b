"""The kernels of the normalizations."""

from __future__ import annotations

from nnx.ops.cuda import BLOCK_SUMS, COLUMNS, ROWS, Elementwise, Raw

# The moments of each column. Each block computes those of its rows in two passes; the second one corrects the
# first mean to the last digit. If several blocks share the rows, the last one puts their moments together.
MOMENTS = Raw(
    "batch_moments",
    "nnx_batch_moments",
    COLUMNS
    + """
__device__ inline void nnx_put_together(
        T* mean, T* variance, const T* parts, long long part, long long share, long long rows,
        long long columns, bool fours, nnx_four* shared) {
    nnx_four centre = nnx_read(parts, part, columns, fours);  // first that of one block, then of all
    const auto weighted = [&](bool squared) {  // the mean of what the blocks' rows have around it
        nnx_sums sums;
        for (unsigned int block = threadIdx.y; block < gridDim.y; block += blockDim.y) {
            const long long left = rows - share * block, count = left < share ? left : share;
            if (count <= 0) continue;
            const nnx_four means = nnx_read(parts + 2 * block * columns, part, columns, fours);
            const nnx_four squares = nnx_read(parts + (2 * block + 1) * columns, part, columns, fours);
            nnx_four four;
            NNX_FOUR(k) {
                const T apart = means.at[k] - centre.at[k];
                four.at[k] = T(count) / T(rows) * (squared ? squares.at[k] + apart * apart : apart);
            }
            sums.add(four);
        }
        return nnx_lanes(sums.total(), shared);
    };
    const nnx_four shift = weighted(false);
    NNX_FOUR(k) centre.at[k] += shift.at[k];
    const nnx_four all = weighted(true);
    if (threadIdx.y == 0) {
        nnx_store(mean, part, columns, fours, centre);
        nnx_store(variance, part, columns, fours, all);
    }
}
extern "C" __global__ void NNX_OVER_COLUMNS nnx_batch_moments(
        const T* x, T* mean, T* variance, T* parts, unsigned int* done, long long rows, long long columns) {
    __shared__ nnx_four shared[NNX_OF_COLUMNS];
    const bool fours = columns % 4 == 0 && nnx_aligned(x) && nnx_aligned(mean) && nnx_aligned(variance);
    const long long share = (rows + gridDim.y - 1) / gridDim.y, begin = share * blockIdx.y;
    const long long end = begin + share < rows ? begin + share : rows, count = end > begin ? end - begin : 1;
    NNX_PARTS_OF(columns, part) {
        nnx_sums sums, shifts, products;
        for (long long row = begin + threadIdx.y; row < end; row += blockDim.y)
            sums.add(nnx_read(x + row * columns, part, columns, fours));
        nnx_four means = nnx_lanes(sums.total(), shared), squares;
        NNX_FOUR(k) means.at[k] /= T(count);
        for (long long row = begin + threadIdx.y; row < end; row += blockDim.y) {
            nnx_four centred = nnx_read(x + row * columns, part, columns, fours);
            NNX_FOUR(k) centred.at[k] -= means.at[k];
            shifts.add(centred);
            NNX_FOUR(k) centred.at[k] *= centred.at[k];
            products.add(centred);
        }
        const nnx_four shift = nnx_lanes(shifts.total(), shared);
        const nnx_four product = nnx_lanes(products.total(), shared);
        NNX_FOUR(k) {
            const T correction = shift.at[k] / T(count);
            means.at[k] += correction;
            squares.at[k] = product.at[k] / T(count) - correction * correction;
            squares.at[k] = squares.at[k] < T(0) ? T(0) : squares.at[k];
        }
        if (gridDim.y == 1 && threadIdx.y == 0) {
            nnx_store(mean, part, columns, fours, means);
            nnx_store(variance, part, columns, fours, squares);
        }
        if (gridDim.y == 1) continue;
        if (threadIdx.y == 0) {
            nnx_store(parts + 2 * blockIdx.y * columns, part, columns, fours, means);
            nnx_store(parts + (2 * blockIdx.y + 1) * columns, part, columns, fours, squares);
        }
        if (nnx_last(done + part / (4 * blockDim.x)))
            nnx_put_together(mean, variance, parts, part, share, rows, columns, fours, shared);
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
    COLUMNS
    + """
extern "C" __global__ void NNX_OVER_COLUMNS nnx_batch_norm_sums(
        const T* dy, const T* x, const T* mean, const T* variance, T* dgamma, T* dbeta, T* parts,
        unsigned int* done, long long rows, long long columns, T epsilon) {
    const bool fours = columns % 4 == 0 && nnx_aligned(dy) && nnx_aligned(x) && nnx_aligned(mean)
        && nnx_aligned(variance) && nnx_aligned(dgamma) && nnx_aligned(dbeta);
    T* const sums[2] = {dbeta, dgamma};
    nnx_columns(
        [=](long long row, long long part, nnx_four* found) {
            const nnx_four means = nnx_read(mean, part, columns, fours);
            const nnx_four variances = nnx_read(variance, part, columns, fours);
            const nnx_four inputs = nnx_read(x + row * columns, part, columns, fours);
            found[0] = nnx_read(dy + row * columns, part, columns, fours);
            NNX_FOUR(k) {
                const T sigma = sqrt(variances.at[k] + epsilon);
                found[1].at[k] = found[0].at[k] * ((inputs.at[k] - means.at[k]) / sigma);
            }
        },
        sums, parts, done, rows, columns, fours);
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
    COLUMNS
    + """
extern "C" __global__ void NNX_OVER_COLUMNS nnx_layer_norm_sums(
        const T* dy, const T* x, const T* moments, T* dgamma, T* dbeta, T* parts, unsigned int* done,
        long long rows, long long columns) {
    const bool fours = columns % 4 == 0 && nnx_aligned(dy) && nnx_aligned(x) && nnx_aligned(dgamma)
        && nnx_aligned(dbeta);
    T* const sums[2] = {dbeta, dgamma};
    nnx_columns(
        [=](long long row, long long part, nnx_four* found) {
            const T* of = moments + 3 * row;
            const nnx_four inputs = nnx_read(x + row * columns, part, columns, fours);
            found[0] = nnx_read(dy + row * columns, part, columns, fours);
            NNX_FOUR(k)
                found[1].at[k] = found[0].at[k] * ((inputs.at[k] - of[0] - of[1]) / of[2]);
        },
        sums, parts, done, rows, columns, fours);
}
""",
)
