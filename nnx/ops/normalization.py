"""Batch normalization and layer normalization."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnx.ops.base import Array, OnGpu
from nnx.ops.cuda import BLOCK_SUMS, SUMS, Elementwise, Raw
from nnx.ops.sums import Sums, SumsNumPy


def _itself(*sums: Array) -> tuple[Array, ...]:
    return sums


class Normalization(Sums):
    """Both normalizations in the plain form."""

    def batch_moments(self, x: Array, mean: Array, variance: Array) -> Array:
        """Compute the mean and the biased variance of each column; return the mean.

        The second pass subtracts the first mean, so its numbers are small, and their mean corrects the first
        mean to the last digit, and also the variance (Chan, Golub and LeVeque, 1983, eq. 1.7). If all numbers
        of a column are equal, the mean is exactly this number and the variance is 0.
        """
        rows = x.shape[0]
        first = self._column_sums(x) / rows
        centred = x - first
        shift = self._column_sums(centred) / rows
        mean[...] = first + shift
        variance[...] = self.xp.maximum(self._column_sums(centred * centred) / rows - shift * shift, 0.0)
        return mean

    def moving_average(self, average: Array, new: Array, momentum: float) -> Array:
        """r = momentum · r + (1 − momentum) · new, in place."""
        average *= momentum
        average += (1.0 - momentum) * new
        return average

    def batch_norm_forward(
        self, x: Array, mean: Array, variance: Array, gamma: Array, beta: Array, y: Array, epsilon: float
    ) -> Array:
        """y = γ x̂ + β with x̂ = (x − mean) / √(variance + ε), for each column."""
        y[...] = gamma * ((x - mean) / self.xp.sqrt(variance + epsilon)) + beta
        return y

    def batch_norm_backward(
        self, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array, dgamma: Array, dbeta: Array,
        dx: Array | None, epsilon: float, constant: bool = False, rows: int | None = None,
        total: Callable[[Array, Array], tuple[Array, ...]] = _itself,
    ) -> Array:  # fmt: skip
        """dβ = Σ dy, dγ = Σ dy x̂, dx = γ/σ (dy − dβ/n − x̂ dγ/n).

        With ``constant``, the moments are running statistics that do not depend on x: dx = γ/σ dy. If
        processes share a batch, n = `rows` counts all its rows, and `total` returns dβ and dγ of all of them.
        """
        xp = self.xp
        sigma = xp.sqrt(variance + epsilon)
        normalized = (x - mean) / sigma
        dbeta[...] = self._column_sums(dy)
        dgamma[...] = self._column_sums(dy * normalized)
        if dx is not None:
            centred = dy
            if not constant:
                all_dbeta, all_dgamma = total(dbeta, dgamma)
                centred = dy - (all_dbeta + normalized * all_dgamma) / (rows or x.shape[0])
            dx[...] = gamma / sigma * centred
        return dgamma

    def layer_norm_forward(self, x: Array, gamma: Array, beta: Array, y: Array, epsilon: float) -> Array:
        """y = γ x̂ + β with x̂ = (x − mean) / √(variance + ε), for each row."""
        y[...] = gamma * self._normalized_rows(x, epsilon)[0] + beta
        return y

    def layer_norm_backward(
        self, dy: Array, x: Array, gamma: Array, dgamma: Array, dbeta: Array, dx: Array | None, epsilon: float
    ) -> Array:
        """dβ = Σ dy, dγ = Σ dy x̂, dx = (g − mean(g) − x̂ mean(g x̂)) / σ with g = γ dy, for each row."""
        xp = self.xp
        normalized, sigma = self._normalized_rows(x, epsilon)
        dbeta[...] = self._column_sums(dy)
        dgamma[...] = self._column_sums(dy * normalized)
        if dx is not None:
            g = gamma * dy
            projection = xp.mean(g * normalized, axis=1, keepdims=True)
            dx[...] = (g - xp.mean(g, axis=1, keepdims=True) - normalized * projection) / sigma
        return dgamma

    def _normalized_rows(self, x: Array, epsilon: float) -> tuple[Array, Array]:
        xp = self.xp
        centred = x - xp.mean(x, axis=1, keepdims=True)
        centred -= xp.mean(centred, axis=1, keepdims=True)  # correct the rounding of the first mean
        sigma = xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + epsilon)
        return centred / sigma, sigma


class NormalizationNumPy(SumsNumPy, Normalization):
    """Moments and layer normalization in place; the others in the plain form."""

    def batch_moments(self, x: Array, mean: Array, variance: Array) -> Array:
        """Compute the moments in place, with the sums of `_column_sums`."""
        rows = x.shape[0]
        np.divide(self._column_sums(x), rows, out=mean)
        centred = np.subtract(x, mean, out=self._scratch(x.shape, x.dtype))
        shift = self._column_sums(centred) / rows
        mean += shift
        np.multiply(centred, centred, out=centred)
        np.divide(self._column_sums(centred), rows, out=variance)
        variance -= shift * shift
        np.maximum(variance, 0.0, out=variance)
        return mean

    def layer_norm_forward(self, x: Array, gamma: Array, beta: Array, y: Array, epsilon: float) -> Array:
        """Compute y in place."""
        np.multiply(self._normalized_rows(x, epsilon)[0], gamma, out=y)
        return np.add(y, beta, out=y)

    def _normalized_rows(self, x: Array, epsilon: float) -> tuple[Array, Array]:
        """Normalize in place; BLAS computes both means as products with ones, the second as a correction."""
        columns, centred = x.shape[1], self._scratch(x.shape, x.dtype)
        ones = self._ones(columns, x.dtype)
        np.subtract(x, (np.matmul(x, ones) / columns)[:, None], out=centred)
        # The second mean is small: if it were added to the first, rounding would remove it.
        centred -= (np.matmul(centred, ones) / columns)[:, None]
        squares = np.multiply(centred, centred, out=self._scratch(x.shape, x.dtype, 1))
        sigma = np.sqrt(np.mean(squares, axis=1, keepdims=True) + epsilon)
        centred /= sigma
        return centred, sigma


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
        const T* x, long long columns, T epsilon, T* shared, T* first, T* shift, T* sigma) {
    T sum = T(0);
    for (long long j = threadIdx.x; j < columns; j += blockDim.x) sum += x[j];
    const T mean = nnx_block_sum(sum, shared) / T(columns);
    T rest = T(0);
    for (long long j = threadIdx.x; j < columns; j += blockDim.x) rest += x[j] - mean;
    rest = nnx_block_sum(rest, shared) / T(columns);
    T squares = T(0);
    for (long long j = threadIdx.x; j < columns; j += blockDim.x) {
        const T centred = x[j] - mean - rest;
        squares += centred * centred;
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
    + ROW_MOMENTS
    + """
extern "C" __global__ void nnx_layer_norm(
        const T* x, const T* gamma, const T* beta, T* y, long long rows, long long columns, T epsilon) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* source = x + row * columns;
        T first, shift, sigma;
        nnx_row_moments(source, columns, epsilon, shared, &first, &shift, &sigma);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x)
            y[row * columns + j] = gamma[j] * ((source[j] - first - shift) / sigma) + beta[j];
    }
}
""",
)
# dx of each row if `wanted`, and the row's moments for the sums over rows
LAYER_NORM_BACKWARD = Raw(
    "layer_norm_backward",
    "nnx_layer_norm_backward",
    BLOCK_SUMS
    + ROW_MOMENTS
    + """
extern "C" __global__ void nnx_layer_norm_backward(
        const T* dy, const T* x, const T* gamma, T* dx, T* moments, long long rows, long long columns,
        T epsilon, long long wanted) {
    __shared__ T shared[NNX_THREADS];
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* source = x + row * columns;
        const T* slope = dy + row * columns;
        T first, shift, sigma;
        nnx_row_moments(source, columns, epsilon, shared, &first, &shift, &sigma);
        if (threadIdx.x == 0) {
            moments[3 * row] = first;
            moments[3 * row + 1] = shift;
            moments[3 * row + 2] = sigma;
        }
        if (!wanted) continue;
        T sum = T(0), projection = T(0);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x) {
            const T g = gamma[j] * slope[j];
            sum += g;
            projection += g * ((source[j] - first - shift) / sigma);
        }
        sum = nnx_block_sum(sum, shared) / T(columns);
        projection = nnx_block_sum(projection, shared) / T(columns);
        for (long long j = threadIdx.x; j < columns; j += blockDim.x)
            dx[row * columns + j] =
                (gamma[j] * slope[j] - sum - (source[j] - first - shift) / sigma * projection) / sigma;
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


class NormalizationCuPy(OnGpu, Normalization):
    """The normalizations on the GPU, without temporary arrays."""

    def batch_moments(self, x: Array, mean: Array, variance: Array) -> Array:
        """Use one launch."""
        with self._hold:
            MOMENTS.over_columns(x, (self.xp.ascontiguousarray(x), mean, variance))
        return mean

    def moving_average(self, average: Array, new: Array, momentum: float) -> Array:
        """Use one launch."""
        with self._hold:
            MOVING_AVERAGE.kernel(new, momentum, 1.0 - momentum, average)
        return average

    def batch_norm_forward(
        self, x: Array, mean: Array, variance: Array, gamma: Array, beta: Array, y: Array, epsilon: float
    ) -> Array:
        """Use one launch."""
        with self._hold:
            BATCH_NORM.kernel(x, mean, variance, gamma, beta, epsilon, y)
        return y

    def batch_norm_backward(
        self, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array, dgamma: Array, dbeta: Array,
        dx: Array | None, epsilon: float, constant: bool = False, rows: int | None = None,
        total: Callable[[Array, Array], tuple[Array, ...]] = _itself,
    ) -> Array:  # fmt: skip
        """Use two launches: the sums over the rows, then dx."""
        xp = self.xp
        with self._hold:
            dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
            BATCH_NORM_SUMS.over_columns(x, (dy, x, mean, variance, dgamma, dbeta), x.dtype.type(epsilon))
            if dx is not None:
                sums = (dgamma, dbeta) if constant else total(dbeta, dgamma)[::-1]
                BATCH_NORM_BACKWARD.kernel(
                    dy, x, mean, variance, gamma, *sums, epsilon, rows or x.shape[0], constant, dx
                )
        return dgamma

    def layer_norm_forward(self, x: Array, gamma: Array, beta: Array, y: Array, epsilon: float) -> Array:
        """Use one launch."""
        with self._hold:
            LAYER_NORM.over_rows(x, (self.xp.ascontiguousarray(x), gamma, beta, y), x.dtype.type(epsilon))
        return y

    def layer_norm_backward(
        self, dy: Array, x: Array, gamma: Array, dgamma: Array, dbeta: Array, dx: Array | None, epsilon: float
    ) -> Array:
        """Use two launches: dx and the moments of the rows, then the sums over the rows."""
        xp = self.xp
        with self._hold:
            dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
            moments = self._buffer("row_moments", 3 * x.shape[0], x.dtype)
            target = moments if dx is None else dx  # not written without dx
            LAYER_NORM_BACKWARD.over_rows(
                x, (dy, x, gamma, target, moments), x.dtype.type(epsilon), int(dx is not None)
            )
            LAYER_NORM_SUMS.over_columns(x, (dy, x, moments, dgamma, dbeta))
        return dgamma
