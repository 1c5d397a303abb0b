"""The curves of which activations.py makes its records: sigmoid, softplus, GELU, SELU, Mish, hard sigmoid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnx.ops import cuda
from nnx.ops.base import Array, InPlace, Operations


def sigmoid(ops: Operations, x: Array) -> Array:
    """σ(x) = 1 / (1 + e^−x), computed from e^−|x|, which does not overflow."""
    xp = ops.xp
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def sigmoids(ops: Operations, x: Array) -> tuple[Array, Array]:
    """σ(x) and 1 − σ(x) = σ(−x), both from one exponential and without loss of digits."""
    xp = ops.xp
    e = xp.exp(-xp.abs(x))
    large, small = 1.0 / (1.0 + e), e / (1.0 + e)
    return xp.where(x >= 0, large, small), xp.where(x >= 0, small, large)


def sigmoid_in_place(x: Array, y: Array) -> Array:
    """σ(x) = 1 / (1 + e^−x); if the exponential overflows, 1 / ∞ = 0 is correct.

    NumPy divides in half of the time of its `reciprocal`, which gives the same bytes.
    """
    with np.errstate(over="ignore"):
        np.exp(np.negative(x, out=y), out=y)
    y += 1.0
    return np.divide(1.0, y, out=y)


def softplus(ops: Operations, x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log(1 + e^−|x|)."""
    xp = ops.xp
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


SQRT_HALF = math.sqrt(0.5)
INVERSE_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
TANH_GELU_SCALE = 2.0 * math.sqrt(2.0 / math.pi)  # doubled: (1 + tanh u) / 2 = σ(2u), which loses no digits
TANH_GELU_CUBIC = 0.044715
FLAT = 40.0  # beyond ±40, both forms of GELU have slope 0 or 1
CLIPPED = f"nnx_clip(x, T(-{FLAT:g}), T({FLAT:g}))"  # in CUDA


def gelu(ops: Any, x: Array, alpha: float) -> Array:
    """Compute x Φ(x)."""
    return 0.5 * x * ops.erfc(-SQRT_HALF * x)


def gelu_backward(ops: Any, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    """Compute dy (Φ(x) + x φ(x))."""
    xp = ops.xp
    return dy * (0.5 * ops.erfc(-SQRT_HALF * x) + x * (INVERSE_SQRT_TWO_PI * xp.exp(-0.5 * x * x)))


def gelu_tanh(ops: Operations, x: Array, alpha: float) -> Array:
    """Compute x σ(2u), where u is the argument of the hyperbolic tangent."""
    z = ops.xp.clip(x, -FLAT, FLAT)
    return x * sigmoid(ops, TANH_GELU_SCALE * z * (1.0 + TANH_GELU_CUBIC * z * z))


def gelu_tanh_backward(ops: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    """Compute dy (σ + x σ (1 − σ) 2 du/dx)."""
    inner = TANH_GELU_SCALE * x * (1.0 + TANH_GELU_CUBIC * x * x)
    slope = TANH_GELU_SCALE * (1.0 + 3.0 * TANH_GELU_CUBIC * x * x)
    s, rest = sigmoids(ops, inner)
    return dy * (s + x * s * rest * slope)


SELU_ALPHA = 1.6732632423543772  # with these, mean 0 and variance 1 are a fixed point of the layers
SELU_SCALE = 1.0507009873554805
SELU_LEFT = SELU_SCALE * SELU_ALPHA


def selu(ops: Operations, x: Array) -> Array:
    """λ x where x > 0, else λ α (e^x − 1)."""
    xp = ops.xp
    return xp.where(x > 0, SELU_SCALE * x, SELU_LEFT * xp.expm1(xp.minimum(x, 0.0)))


def selu_backward(ops: Operations, dy: Array, y: Array) -> Array:
    """λ dy where y > 0, else (y + λ α) dy."""
    xp = ops.xp
    return xp.where(y > 0, SELU_SCALE, xp.minimum(y, 0.0) + SELU_LEFT) * dy


def selu_in_place(ops: InPlace, x: Array, y: Array) -> Array:
    """λ max(x, 0) + λ α (e^min(x, 0) − 1)."""
    left = np.minimum(x, 0.0, out=ops._scratch(x.shape, x.dtype))
    np.expm1(left, out=left)
    left *= SELU_LEFT
    np.maximum(x, 0.0, out=y)
    y *= SELU_SCALE
    return np.add(y, left, out=y)


def selu_backward_in_place(ops: InPlace, dy: Array, y: Array, dx: Array) -> Array:
    """Write the slope into an array, and multiply."""
    slope = np.minimum(y, 0.0, out=ops._scratch(y.shape, y.dtype))
    slope += SELU_LEFT
    np.copyto(slope, SELU_SCALE, where=np.greater(y, 0.0, out=ops._scratch(y.shape, bool)))
    return np.multiply(dy, slope, out=dx)


def mish_gate(ops: Operations, x: Array) -> tuple[Array, Array]:
    """t = tanh(log(1 + e^x)) and 1 − t, from e = e^−|x| and without loss of digits.

    With n = (1 + e^x)² − 1, t = n / (n + 2) and 1 − t = 2 / (n + 2). For x > 0, both are divided by e^2x.
    """
    xp = ops.xp
    e = xp.exp(-xp.abs(x))
    above = xp.where(x > 0, 1.0 + 2.0 * e, e * (e + 2.0))
    rest = xp.where(x > 0, 2.0 * e * e, 2.0)
    return above / (above + rest), rest / (above + rest)


def mish(ops: Operations, x: Array) -> Array:
    """Compute x tanh(log(1 + e^x))."""
    return x * mish_gate(ops, x)[0]


def mish_backward(ops: Operations, dy: Array, x: Array) -> Array:
    """Compute dy (t + x σ(x) (1 − t²)), where t = tanh(log(1 + e^x))."""
    t, rest = mish_gate(ops, x)
    return dy * (t + x * sigmoid(ops, x) * rest * (1.0 + t))


def hard_sigmoid_in_place(x: Array, y: Array) -> Array:
    """min(max(x + 3, 0), 6) / 6."""
    np.add(x, 3.0, out=y)
    np.maximum(y, 0.0, out=y)
    np.minimum(y, 6.0, out=y)
    return np.divide(y, 6.0, out=y)


CUDA = (
    cuda.FUNCTIONS
    + """
template <typename T> __device__ inline T nnx_gelu_slope(T x) {
    return T(0.5) * erfc(x * T(-0.7071067811865476)) + x * (T(0.3989422804014327) * exp(T(-0.5) * x * x));
}
template <typename T> __device__ inline T nnx_gelu_inner(T x) {
    return T(1.5957691216057308) * x * (T(1) + T(0.044715) * x * x);
}
template <typename T> __device__ inline T nnx_gelu_tanh_slope(T x) {
    const T inner = nnx_gelu_inner(x), s = nnx_sigmoid(inner), rest = nnx_sigmoid(-inner);
    return s + x * s * rest * (T(1.5957691216057308) * (T(1) + T(0.134145) * x * x));
}
template <typename T> __device__ inline T nnx_mish_gate(T x) {
    const T e = exp(-fabs(x));
    const T above = x > T(0) ? T(1) + T(2) * e : e * (e + T(2));
    return above / (above + (x > T(0) ? T(2) * e * e : T(2)));
}
template <typename T> __device__ inline T nnx_mish_slope(T x) {
    const T e = exp(-fabs(x));
    const T above = x > T(0) ? T(1) + T(2) * e : e * (e + T(2)), rest = x > T(0) ? T(2) * e * e : T(2);
    const T gate = above / (above + rest), sigma = (x > T(0) ? T(1) : e) / (T(1) + e);
    return gate + x * sigma * (rest / (above + rest)) * (T(1) + gate);
}
"""
)
