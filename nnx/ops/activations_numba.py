"""Compiled forms of activations.py for one element each, for the kernels of dense layers and losses.

For an activation that is missing here, the form in place or the plain form is used.
"""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.base_numba import Scalar, inner

# The numbers of the kinds in kernels. Each kernel says which kinds it supports.
KINDS = ("identity", "relu", "sigmoid", "tanh", "leaky_relu")
IDENTITY, RELU, SIGMOID, TANH, LEAKY_RELU = range(len(KINDS))


@inner
def relu(z: Scalar) -> Scalar:
    """max(z, 0); NaN passes."""
    zero = type(z)(0)
    return z if not z <= zero else zero


@inner
def relu_backward(dy: Scalar, y: Scalar) -> Scalar:
    """dy where y > 0, else 0."""
    return dy if y > type(y)(0) else type(y)(0)


@inner
def leaky_relu(z: Scalar, alpha: Scalar) -> Scalar:
    """z where z > 0, else α z."""
    return z if z > type(z)(0) else alpha * z


@inner
def leaky_relu_backward(dy: Scalar, y: Scalar, alpha: Scalar) -> Scalar:
    """dy where y > 0, else α dy."""
    return dy if y > type(y)(0) else alpha * dy


@inner
def tanh_backward(dy: Scalar, y: Scalar) -> Scalar:
    """dy (1 − y²)."""
    return dy * (type(y)(1) - y * y)


@inner
def sigmoid(z: Scalar) -> Scalar:
    """σ(z), computed from e^−|z|, which does not overflow."""
    e = math.exp(-abs(z))
    return (type(z)(1) if z >= type(z)(0) else e) / (type(z)(1) + e)


@inner
def sigmoid_backward(dy: Scalar, y: Scalar) -> Scalar:
    """dy y (1 − y)."""
    return dy * (y * (type(y)(1) - y))


@inner
def sigmoid_float32(z: Scalar) -> Scalar:
    """σ(z) in float32, in a form that the compiler can vectorize."""
    e = exp_float32(-abs(z))
    return (np.float32(1.0) if z >= np.float32(0.0) else e) / (np.float32(1.0) + e)


@inner
def exp_float32(x: Scalar) -> Scalar:
    """e^x for x ≤ 0 in float32, in a form that the compiler can vectorize; NaN stays NaN.

    x = n log 2 + r with |r| ≤ log(2)/2. log 2 is split into two parts so that r is exact. e^r comes from the
    polynomial of Cephes' ``expf`` (Moshier, 1989). Below −87.7 the result would not be a normal number; then
    n is −127, and the bits of 2^n give 0.
    """
    f = np.float32
    x = f(-88.0) if x < f(-88.0) else x
    n = np.floor(x * f(1.44269504088896341) + f(0.5))
    r = x - n * f(0.693359375) + n * f(2.12194440e-4)
    p = f(1.9875691500e-4)
    p = p * r + f(1.3981999507e-3)
    p = p * r + f(8.3334519073e-3)
    p = p * r + f(4.1665795894e-2)
    p = p * r + f(1.6666665459e-1)
    p = p * r + f(5.0000001201e-1)
    p = p * r * r + r + f(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
