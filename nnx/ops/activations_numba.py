"""Compiled forms of activations.py for one element each, for the kernels of dense layers and losses.

SiLU, Mish, SELU and the hard sigmoid, which no kernel of a layer has, have kernels for whole arrays in
float32. For an activation that is missing here, the form in place or the plain form is used.
"""

from __future__ import annotations

import math

import numpy as np

from nnx.ops.activations import ActivationsNumPy
from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, team, usual
from nnx.ops.curves import SELU_LEFT, SELU_SCALE
from nnx.ops.share_numba import share

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


@inner
def expm1_float32(x: Scalar) -> Scalar:
    """e^x − 1 for x ≤ 0 in float32, to the last digits near 0 too; NaN stays NaN.

    As `exp_float32`: with e^r = 1 + q, it is 2^n q + (2^n − 1), where 2^n − 1 is exact or −1.
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
    scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return scale * (p * r * r + r) + (scale - f(1.0))


@inner
def log_float32(x: Scalar) -> Scalar:
    """Log x for normal x > 0 in float32, in a form that the compiler can vectorize; NaN stays NaN.

    x = 2^n (1 + r) with √½ ≤ 1 + r < √2; log(1 + r) comes from the polynomial of Cephes' ``logf`` (Moshier,
    1989).
    """
    f = np.float32
    bits = np.float32(x).view(np.int32)
    n = f(np.int32(bits >> np.int32(23)) - np.int32(126))
    r = np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)).view(np.float32)
    low = r < f(0.707106781186547524)
    n = n - f(1.0) if low else n
    r = (r + r if low else r) - f(1.0)
    p = f(7.0376836292e-2)
    p = p * r - f(1.1514610310e-1)
    p = p * r + f(1.1676998740e-1)
    p = p * r - f(1.2420140846e-1)
    p = p * r + f(1.4249322787e-1)
    p = p * r - f(1.6668057665e-1)
    p = p * r + f(2.0000714765e-1)
    p = p * r - f(2.4999993993e-1)
    p = p * r + f(3.3333331174e-1)
    square = r * r
    p = p * r * square - n * f(2.12194440e-4) - f(0.5) * square
    result = r + p + n * f(0.693359375)
    return x if x != x else result  # NaN


@inner
def log1p_float32(x: Scalar) -> Scalar:
    """Log (1 + x) for −1 < x ≤ 0 in float32: the rounding error of 1 + x is added again."""
    u = np.float32(1.0) + x
    return log_float32(u) - ((u - np.float32(1.0)) - x) / u


@inner
def silu(x: Array, y: Array) -> None:
    """y = x σ(x) for flat float32 arrays."""
    for i in range(x.size):
        y[i] = x[i] * sigmoid_float32(x[i])


@inner
def silu_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """dx = dy ((1 − σ(x)) y + σ(x)) for flat float32 arrays."""
    for i in range(x.size):
        s = sigmoid_float32(x[i])
        dx[i] = dy[i] * ((np.float32(1.0) - s) * y[i] + s)


@team
def team_silu(x: Array, y: Array, segments: int) -> None:
    """Compute `silu` for parts of the arrays in parallel."""
    share(silu, (x, y), (), segments)


@team
def team_silu_backward(dy: Array, x: Array, y: Array, dx: Array, segments: int) -> None:
    """Compute `silu_backward` for parts of the arrays in parallel."""
    share(silu_backward, (dy, x, y, dx), (), segments)


@inner
def mish(x: Array, y: Array) -> None:
    """y = x tanh(log(1 + e^x)) for flat float32 arrays; see `curves.mish_gate`."""
    one, two = np.float32(1.0), np.float32(2.0)
    for i in range(x.size):
        e = exp_float32(-abs(x[i]))
        right = x[i] > np.float32(0.0)
        above = one + two * e if right else e * (e + two)
        y[i] = x[i] * (above / (above + (two * e * e if right else two)))


@inner
def mish_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """dx = dy (t + x σ(x) (1 − t²)) for flat float32 arrays; see `curves.mish_gate`."""
    one, two = np.float32(1.0), np.float32(2.0)
    for i in range(x.size):
        e = exp_float32(-abs(x[i]))
        right = x[i] > np.float32(0.0)
        above = one + two * e if right else e * (e + two)
        rest = two * e * e if right else two
        t, sigma = above / (above + rest), (one if right else e) / (one + e)
        dx[i] = dy[i] * (t + x[i] * sigma * (rest / (above + rest)) * (one + t))


@inner
def selu(x: Array, y: Array) -> None:
    """y = λ x where x > 0, else λ α (e^x − 1), for flat float32 arrays."""
    scale, left = np.float32(SELU_SCALE), np.float32(SELU_LEFT)
    for i in range(x.size):
        right = x[i] > np.float32(0.0)
        y[i] = scale * x[i] if right else left * expm1_float32(np.float32(0.0) if right else x[i])


@inner
def selu_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """dx = λ dy where y > 0, else (y + λ α) dy, for flat float32 arrays; x is not read."""
    scale, left = np.float32(SELU_SCALE), np.float32(SELU_LEFT)
    for i in range(y.size):
        dx[i] = dy[i] * (scale if y[i] > np.float32(0.0) else y[i] + left)


@inner
def hard_sigmoid(x: Array, y: Array) -> None:
    """y = min(max(x + 3, 0), 6) / 6 for flat float32 arrays."""
    zero, top = np.float32(0.0), np.float32(6.0)
    for i in range(x.size):
        z = x[i] + np.float32(3.0)
        z = z if not z <= zero else zero
        y[i] = (z if not z >= top else top) / top


@inner
def hard_sigmoid_backward(dy: Array, x: Array, y: Array, dx: Array) -> None:
    """dx = dy / 6 where 0 < y < 1, else 0, for flat float32 arrays; x is not read."""
    zero, one = np.float32(0.0), np.float32(1.0)
    for i in range(y.size):
        dx[i] = dy[i] / np.float32(6.0) if y[i] > zero and y[i] < one else zero


@team
def team_mish(x: Array, y: Array, segments: int) -> None:
    """Compute `mish` for parts of the arrays in parallel."""
    share(mish, (x, y), (), segments)


@team
def team_mish_backward(dy: Array, x: Array, y: Array, dx: Array, segments: int) -> None:
    """Compute `mish_backward` for parts of the arrays in parallel."""
    share(mish_backward, (dy, x, y, dx), (), segments)


@team
def team_selu(x: Array, y: Array, segments: int) -> None:
    """Compute `selu` for parts of the arrays in parallel."""
    share(selu, (x, y), (), segments)


@team
def team_selu_backward(dy: Array, x: Array, y: Array, dx: Array, segments: int) -> None:
    """Compute `selu_backward` for parts of the arrays in parallel."""
    share(selu_backward, (dy, x, y, dx), (), segments)


@team
def team_hard_sigmoid(x: Array, y: Array, segments: int) -> None:
    """Compute `hard_sigmoid` for parts of the arrays in parallel."""
    share(hard_sigmoid, (x, y), (), segments)


@team
def team_hard_sigmoid_backward(dy: Array, x: Array, y: Array, dx: Array, segments: int) -> None:
    """Compute `hard_sigmoid_backward` for parts of the arrays in parallel."""
    share(hard_sigmoid_backward, (dy, x, y, dx), (), segments)


SHARED = {
    "silu": (team_silu, team_silu_backward),
    "mish": (team_mish, team_mish_backward),
    "selu": (team_selu, team_selu_backward),
    "hard_sigmoid": (team_hard_sigmoid, team_hard_sigmoid_backward),
}


class ActivationsNumba(Compiled, ActivationsNumPy):
    """Activations that no kernel of a layer has: those in `SHARED` in float32 on all threads, in one pass."""

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """Compute a large activation by the kernel; see benchmarks/operations.py."""
        if kind not in SHARED or y.itemsize != 4 or y.size < SMALL_ARRAY or not usual(y, x):
            return super().activation_forward(kind, x, y, alpha)
        SHARED[kind][0](x.reshape(-1), y.reshape(-1), self.threads)
        return y

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """Compute a large activation by the kernel; one that reads only y may have no x."""
        x = y if x is None else x
        if kind not in SHARED or dx.itemsize != 4 or dx.size < SMALL_ARRAY or not usual(dx, dy, x, y):
            return super().activation_backward(kind, dy, x, y, dx, alpha)
        SHARED[kind][1](*(a.reshape(-1) for a in (dy, x, y, dx)), self.threads)
        return dx
