"""Compiled forms of losses.py: the squared error, and three of the cross-entropies.

For other losses, the form in place or the plain form is used.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np

from nnx.ops.activations_numba import exp_float32, log1p_float32, log_float32, relu
from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, inner_sum, team, usual
from nnx.ops.losses import Constants, LossesNumPy
from nnx.ops.share_numba import share

COLUMNS = 512  # so many factors 1 + e^-|z| ≤ 2 have a product that fits into float64


@inner_sum
def squared_error(y: Array, p: Array, dy: Array, totals: Array, factor: Scalar) -> None:
    """Compute Σ (p − y)² into ``totals[0]``; dy = 2 factor (p − y)."""
    twice = p.dtype.type(2) * factor
    total = 0.0
    for row in range(p.shape[0]):
        squares = p.dtype.type(0)
        for j in range(p.shape[1]):
            e = p[row, j] - y[row, j]
            squares += e * e
            dy[row, j] = e * twice
        total += squares
    totals[0] = total


@team
def team_squared_error(y: Array, p: Array, dy: Array, factor: Scalar, totals: Array, segments: int) -> None:
    """Compute the rows of each segment in parallel; the sum of each segment goes into `totals`."""
    share(squared_error, (y, p, dy, totals), (factor,), segments)


@inner_sum
def binary_cross_entropy_from_logits(y: Array, z: Array, dy: Array, totals: Array, factor: Scalar) -> None:
    """Compute Σ max(z, 0) − y z + log(1 + e^−|z|) in float32; dy = factor (σ(z) − y).

    The sum of up to 512 logarithms is computed as one logarithm of a product, which fits into float64.
    """
    f = np.float32
    total = 0.0
    for row in range(z.shape[0]):
        for start in range(0, z.shape[1], COLUMNS):
            some, targets = z[row, start : start + COLUMNS], y[row, start : start + COLUMNS]
            gradient = dy[row, start : start + COLUMNS]
            linear: Scalar = f(0.0)
            factors = 1.0
            for j in range(some.size):
                a = some[j]
                e = exp_float32(-abs(a))
                linear += (a if not a <= f(0.0) else f(0.0)) - targets[j] * a
                factors *= 1.0 + e  # in float64: in float32 a small e would be lost
                gradient[j] = ((f(1.0) if a >= f(0.0) else e) / (f(1.0) + e) - targets[j]) * factor
            total += linear + math.log(factors)
    totals[0] = total


@team
def team_binary_cross_entropy_from_logits(
    y: Array, z: Array, dy: Array, factor: Scalar, totals: Array, segments: int
) -> None:
    """Compute the rows of each segment in parallel; the sum of each segment goes into `totals`."""
    share(binary_cross_entropy_from_logits, (y, z, dy, totals), (factor,), segments)


@inner_sum
def categorical_cross_entropy_from_logits(
    y: Array, z: Array, dy: Array, totals: Array, factor: Scalar
) -> None:
    """Compute Σ_rows Σ_j y_j (log Σ_k e^z_k − z_j) in float32; dy = factor (softmax(z) Σ_j y_j − y)."""
    f = np.float32
    total = 0.0
    for row in range(z.shape[0]):
        top = z[row, 0]
        for j in range(1, z.shape[1]):
            top = top if top >= z[row, j] else z[row, j]
        sums: Scalar = f(0.0)
        mass: Scalar = f(0.0)
        picked: Scalar = f(0.0)
        for j in range(z.shape[1]):
            shifted = z[row, j] - top
            e = exp_float32(shifted)
            dy[row, j] = e
            sums += e
            mass += y[row, j]
            picked += y[row, j] * shifted
        if not math.isfinite(picked):  # where y_j = 0, a difference that overflowed does not count
            picked = f(0.0)
            for j in range(z.shape[1]):
                picked += y[row, j] * (z[row, j] - top) if y[row, j] != f(0.0) else f(0.0)
        ratio = mass / sums
        for j in range(z.shape[1]):
            dy[row, j] = (dy[row, j] * ratio - y[row, j]) * factor
        total += mass * math.log(sums) - picked
    totals[0] = total


@team
def team_categorical_cross_entropy_from_logits(
    y: Array, z: Array, dy: Array, factor: Scalar, totals: Array, segments: int
) -> None:
    """Compute the rows of each segment in parallel; the sum of each segment goes into `totals`."""
    share(categorical_cross_entropy_from_logits, (y, z, dy, totals), (factor,), segments)


@inner
def clipped(p: Scalar, epsilon: Scalar) -> Scalar:
    """Clip p to [ε, 1 − ε]; NaN passes."""
    p = epsilon if p < epsilon else p
    high = np.float32(1.0) - epsilon
    return high if p > high else p


@inner_sum
def binary_cross_entropy(y: Array, p: Array, totals: Array, epsilon: Scalar) -> None:
    """Compute Σ −y log p − (1 − y) log(1 − p) in float32, with p clipped to [ε, 1 − ε]."""
    f = np.float32
    total = 0.0
    for row in range(p.shape[0]):
        some: Scalar = f(0.0)
        for j in range(p.shape[1]):
            q = clipped(p[row, j], epsilon)
            some += y[row, j] * log_float32(q) + (f(1.0) - y[row, j]) * log1p_float32(-q)
        total -= some
    totals[0] = total


@team
def team_binary_cross_entropy(y: Array, p: Array, epsilon: Scalar, totals: Array, segments: int) -> None:
    """Compute the rows of each segment in parallel; the sum of each segment goes into `totals`."""
    share(binary_cross_entropy, (y, p, totals), (epsilon,), segments)


@inner
def binary_cross_entropy_gradient(y: Array, p: Array, dy: Array, factor: Scalar, epsilon: Scalar) -> None:
    """dy = factor (p − y) / (p (1 − p)) in float32, with p clipped to [ε, 1 − ε]."""
    for row in range(p.shape[0]):
        for j in range(p.shape[1]):
            q = clipped(p[row, j], epsilon)
            dy[row, j] = factor * (q - y[row, j]) / (q * (np.float32(1.0) - q))


@team
def team_binary_cross_entropy_gradient(
    y: Array, p: Array, dy: Array, factor: Scalar, epsilon: Scalar, segments: int
) -> None:
    """Compute the rows of each segment in parallel."""
    share(binary_cross_entropy_gradient, (y, p, dy), (factor, epsilon), segments)


# By kind: ``kernel(y, p, dy, factor, totals, segments)`` writes dy = factor ∂ℓ/∂p, and Σ ℓ of each segment
# into `totals`.
KERNELS = {
    "squared_error": team_squared_error,
    "binary_cross_entropy_from_logits": team_binary_cross_entropy_from_logits,
    "categorical_cross_entropy_from_logits": team_categorical_cross_entropy_from_logits,
}
IN_FLOAT64 = ("squared_error",)  # the other kernels work in float32 only


# The smallest ε of the kernels for probabilities: the spacing of float32 below 1, so that 1 − ε is not 1.
LEAST_EPSILON = 2.0**-24


def usable(epsilon: Constants) -> TypeGuard[float]:
    """Return whether the kernels can clip probabilities with this ε."""
    return isinstance(epsilon, float) and epsilon >= LEAST_EPSILON


class LossesNumba(Compiled, LossesNumPy):
    """Losses with value and gradient in one pass."""

    def loss(
        self, kind: str, y_true: Array, y_pred: Array, value: Array | None, dy: Array | None,
        scale: float = 1.0, parameter: Constants = 0.0, weights: Array | None = None,
    ) -> None:  # fmt: skip
        """Use one pass if rows have equal weights; see benchmarks/operations.py, loss."""
        kernel, single = KERNELS.get(kind), y_pred.itemsize == 4
        if weights is not None or y_true.shape != y_pred.shape or not usual(y_pred, y_true, dy):
            super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)
        elif kernel is not None and (single or kind in IN_FLOAT64):
            self._in_one_pass(kernel, y_true, y_pred, value, dy, scale)
        elif kind == "binary_cross_entropy" and single and usable(parameter):
            self._of_probabilities(y_true, y_pred, value, dy, scale, parameter)
        else:
            super().loss(kind, y_true, y_pred, value, dy, scale, parameter, weights)

    def _in_one_pass(
        self, kernel: Any, y: Array, p: Array, value: Array | None, dy: Array | None, scale: float
    ) -> None:
        """Compute value and gradient together; a gradient that nobody wants goes into scratch memory."""
        dy = self._scratch(p.shape, p.dtype) if dy is None else dy
        factor = scale / len(p)
        total = self._total(kernel, (y, p, dy, p.dtype.type(factor)), self._parts(p))
        if value is not None:
            value[0] = total * factor

    def _of_probabilities(
        self, y: Array, p: Array, value: Array | None, dy: Array | None, scale: float, epsilon: float
    ) -> None:
        """Compute value and gradient of the binary cross-entropy; a loop by hand asks for one at a time."""
        factor, segments, number = scale / len(p), self._parts(p), p.dtype.type
        if value is not None:
            value[0] = self._total(team_binary_cross_entropy, (y, p, number(epsilon)), segments) * factor
        if dy is not None:
            team_binary_cross_entropy_gradient(y, p, dy, number(factor), number(epsilon), segments)

    def _parts(self, p: Array) -> int:
        """Return into how many segments the rows are divided."""
        return self._segments(len(p)) if p.size >= SMALL_ARRAY else 1


# The losses of the compiled loop in `small_network_numba`; their positions are their numbers.
SMALL_LOSSES = (
    "squared_error", "binary_cross_entropy_from_logits", "categorical_cross_entropy_from_logits",
)  # fmt: skip
SQUARED_ERROR, BINARY_CROSS_ENTROPY = range(2)


@inner
def small_loss(kind: int, y: Array, order: Array, p: Array, dy: Array, width: int, scale: float) -> Scalar:
    """Return the loss of a batch, and write its gradient with respect to p into dy; both are flat."""
    zero, one = p.dtype.type(0), p.dtype.type(1)
    factor = p.dtype.type(scale / order.size)
    total = 0.0
    for row in range(order.size):
        targets = y[order[row]]
        some, gradient = p[row * width : (row + 1) * width], dy[row * width : (row + 1) * width]
        if kind == SQUARED_ERROR:
            for j in range(width):
                e = some[j] - targets[j]
                total += e * e
                gradient[j] = (e + e) * factor
        elif kind == BINARY_CROSS_ENTROPY:
            for j in range(width):
                z = some[j]
                e = math.exp(-abs(z))
                total += relu(z) - targets[j] * z + math.log1p(e)
                gradient[j] = ((one if z >= zero else e) / (one + e) - targets[j]) * factor
        else:
            top = some[0]
            for j in range(1, width):
                top = some[j] if not some[j] <= top else top
            sums, mass = zero, zero
            for j in range(width):
                gradient[j] = math.exp(some[j] - top)
                sums += gradient[j]
                mass += targets[j]
            total += mass * math.log(sums)
            for j in range(width):
                if targets[j] != zero:
                    total += targets[j] * (top - some[j])  # subtract first: log Σ would lose digits
                gradient[j] = (gradient[j] / sums * mass - targets[j]) * factor
    return total * scale / order.size
