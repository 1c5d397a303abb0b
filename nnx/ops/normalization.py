"""Batch normalization and layer normalization."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnx.ops.base import Array, OnGpu
from nnx.ops.normalization_cuda import (
    BATCH_NORM,
    BATCH_NORM_BACKWARD,
    BATCH_NORM_SUMS,
    LAYER_NORM,
    LAYER_NORM_BACKWARD,
    LAYER_NORM_SUMS,
    MOMENTS,
    MOVING_AVERAGE,
)
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


class NormalizationCuPy(OnGpu, Normalization):
    """The normalizations on the GPU, without temporary arrays."""

    def batch_moments(self, x: Array, mean: Array, variance: Array) -> Array:
        """Use one launch."""
        with self._hold:
            MOMENTS.over_columns(self, x, (self.xp.ascontiguousarray(x), mean, variance), sums=2)
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
            arrays = (dy, x, mean, variance, dgamma, dbeta)
            BATCH_NORM_SUMS.over_columns(self, x, arrays, x.dtype.type(epsilon), sums=2)
            if dx is not None:
                sums = (dgamma, dbeta) if constant else total(dbeta, dgamma)[::-1]
                BATCH_NORM_BACKWARD.kernel(
                    dy, x, mean, variance, gamma, *sums, epsilon, rows or x.shape[0], constant, dx
                )
        return dgamma

    def layer_norm_forward(self, x: Array, gamma: Array, beta: Array, y: Array, epsilon: float) -> Array:
        """Use one launch."""
        with self._hold:
            arrays = (self.xp.ascontiguousarray(x), gamma, beta, y)
            LAYER_NORM.over_rows(x, arrays, x.dtype.type(epsilon), each=4)
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
                x, (dy, x, gamma, target, moments), x.dtype.type(epsilon), int(dx is not None), each=4
            )
            LAYER_NORM_SUMS.over_columns(self, x, (dy, x, moments, dgamma, dbeta), sums=2)
        return dgamma
