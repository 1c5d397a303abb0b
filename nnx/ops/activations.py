"""The activation functions: one record describes each of them completely.

A record holds the plain forms, the forms in place on NumPy if they are faster, and the CUDA text. If the last
two are missing, the plain form is used. `ACTIVATIONS` contains the records by kind; a layer in
`nnx.layers.activations` names its kind. `alpha` is a parameter of some activations (a slope); the others
ignore it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnx.ops import cuda, softmax
from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import Elementwise, Raw

LONG_ROW = 64  # numbers: NumPy compares a row of so many with zeros faster than with a scalar


@dataclass(frozen=True)
class Activation:
    """A function f of one array, and its gradient.

    Attributes
    ----------
    forward : callable
        ``forward(ops, x, alpha)`` returns y = f(x).
    backward : callable
        ``backward(ops, dy, x, y, alpha)`` returns dx = dy ∘ f'(x).
    from_output : bool
        True if y alone determines the derivative. Then y may overwrite x, and `Dense` and the activation
        after it share one array.
    saturates : float
        Inputs are limited to ±saturates before the derivative is computed. There, the derivative already has
        its value at infinity, and the square of the input does not overflow.
    forward_in_place : callable or None
        ``forward_in_place(ops, x, y, alpha)`` writes y, on NumPy.
    backward_in_place : callable or None
        ``backward_in_place(ops, dy, x, y, dx, alpha)`` writes dx, on NumPy.
    cuda_forward, cuda_backward : str
        Code for one element of y from ``x`` and ``alpha``, and for one element of dx from ``dy``, ``x``
        (unless `from_output`), ``y`` and ``alpha``.
    cuda_rows : pair of kernels or None
        Kernels for a function of whole rows, with the arguments ``(x, y)`` and ``(dy, y, dx)``.
    """

    forward: Callable[[Activations, Array, float], Array]
    backward: Callable[[Activations, Array, Array, Array, float], Array]
    from_output: bool = True
    saturates: float = math.inf
    forward_in_place: Callable[[InPlace, Array, Array, float], Array] | None = None
    backward_in_place: Callable[[InPlace, Array, Array, Array, Array, float], Array] | None = None
    cuda_forward: str = ""
    cuda_backward: str = ""
    cuda_rows: tuple[Raw, Raw] | None = None


IDENTITY = Activation(
    forward=lambda ops, x, alpha: x,
    backward=lambda ops, dy, x, y, alpha: dy,
    cuda_forward="x",
    cuda_backward="dy",
)


def positive_in_place(ops: InPlace, x: Array, y: Array) -> Array:
    """max(x, 0); for long rows against a row of zeros, because NumPy is twice as slow with a scalar."""
    columns = x.shape[-1] if x.ndim else 0
    return np.maximum(x, ops._zeros(columns, x.dtype) if columns >= LONG_ROW else 0.0, out=y)


def _relu_in_place(ops: InPlace, x: Array, y: Array, alpha: float) -> Array:
    return positive_in_place(ops, x, y)


def _relu_backward_in_place(ops: InPlace, dy: Array, x: Array, y: Array, dx: Array, alpha: float) -> Array:
    # 1 where y > 0, else 0, in y's own type: a product with booleans would convert them through a buffer
    mask = ops._scratch(y.shape, y.dtype)
    np.copyto(mask, np.greater(y, 0.0, out=ops._scratch(y.shape, bool)))
    return np.multiply(dy, mask, out=dx)


RELU = Activation(
    forward=lambda ops, x, alpha: ops.xp.maximum(x, 0.0),
    backward=lambda ops, dy, x, y, alpha: ops.xp.where(y > 0, dy, 0.0),
    forward_in_place=_relu_in_place,
    backward_in_place=_relu_backward_in_place,
    cuda_forward="x < T(0) ? T(0) : x",
    cuda_backward="y > T(0) ? dy : T(0)",
)

LEAKY_RELU = Activation(
    forward=lambda ops, x, alpha: ops.xp.where(x > 0, x, alpha * x),
    backward=lambda ops, dy, x, y, alpha: ops.xp.where(y > 0, dy, alpha * dy),
    cuda_forward="x > T(0) ? x : alpha * x",
    cuda_backward="y > T(0) ? dy : alpha * dy",
)


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
    """σ(x) = 1 / (1 + e^−x); if the exponential overflows, 1 / ∞ = 0 is correct."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(x, out=y), out=y)
    y += 1.0
    return np.reciprocal(y, out=y)


def _sigmoid_backward_in_place(ops: InPlace, dy: Array, x: Array, y: Array, dx: Array, alpha: float) -> Array:
    slope = np.multiply(y, y, out=ops._scratch(y.shape, y.dtype))
    np.subtract(y, slope, out=slope)
    return np.multiply(dy, slope, out=dx)


SIGMOID = Activation(
    forward=lambda ops, x, alpha: sigmoid(ops, x),
    backward=lambda ops, dy, x, y, alpha: dy * y * (1.0 - y),
    forward_in_place=lambda ops, x, y, alpha: sigmoid_in_place(x, y),
    backward_in_place=_sigmoid_backward_in_place,
    cuda_forward="nnx_sigmoid(x)",
    cuda_backward="dy * y * (T(1) - y)",
)


def _tanh_in_place(ops: InPlace, x: Array, y: Array, alpha: float) -> Array:
    return np.tanh(x, out=y)


def _tanh_backward_in_place(ops: InPlace, dy: Array, x: Array, y: Array, dx: Array, alpha: float) -> Array:
    slope = np.multiply(y, y, out=ops._scratch(y.shape, y.dtype))
    np.subtract(1.0, slope, out=slope)
    return np.multiply(dy, slope, out=dx)


TANH = Activation(
    forward=lambda ops, x, alpha: ops.xp.tanh(x),
    backward=lambda ops, dy, x, y, alpha: dy * (1.0 - y * y),
    forward_in_place=_tanh_in_place,
    backward_in_place=_tanh_backward_in_place,
    cuda_forward="tanh(x)",
    cuda_backward="dy * (T(1) - y * y)",
)


def _silu_backward(ops: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    s, rest = sigmoids(ops, x)
    return dy * (s * (1.0 + x * rest))


def _silu_in_place(ops: InPlace, x: Array, y: Array, alpha: float) -> Array:
    return np.multiply(x, sigmoid_in_place(x, ops._scratch(x.shape, x.dtype)), out=y)


def _silu_backward_in_place(ops: InPlace, dy: Array, x: Array, y: Array, dx: Array, alpha: float) -> Array:
    """Use the slope σ + x σ (1 − σ) = (1 − σ) y + σ."""
    sigma = sigmoid_in_place(x, ops._scratch(y.shape, y.dtype, 1))
    slope = np.subtract(1.0, sigma, out=ops._scratch(y.shape, y.dtype))
    slope *= y
    slope += sigma
    return np.multiply(dy, slope, out=dx)


SILU = Activation(
    forward=lambda ops, x, alpha: x * sigmoid(ops, x),
    backward=_silu_backward,
    from_output=False,
    forward_in_place=_silu_in_place,
    backward_in_place=_silu_backward_in_place,
    cuda_forward="x * nnx_sigmoid(x)",
    cuda_backward="dy * (nnx_sigmoid(x) * (T(1) + x * nnx_sigmoid(-x)))",
)


def softplus(ops: Operations, x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log(1 + e^−|x|)."""
    xp = ops.xp
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


SOFTPLUS = Activation(
    forward=lambda ops, x, alpha: softplus(ops, x),
    backward=lambda ops, dy, x, y, alpha: -dy * ops.xp.expm1(-y),
    cuda_forward="nnx_softplus(x)",
    cuda_backward="-dy * expm1(-y)",
)


EXPONENTIAL = Activation(
    forward=lambda ops, x, alpha: ops.xp.exp(x),
    backward=lambda ops, dy, x, y, alpha: dy * y,
    cuda_forward="exp(x)",
    cuda_backward="dy * y",
)


def _elu(ops: Operations, x: Array, alpha: float) -> Array:
    return ops.xp.where(x > 0, x, alpha * ops.xp.expm1(ops.xp.minimum(x, 0.0)))


def _elu_backward(ops: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    return ops.xp.where(y > 0, dy, (ops.xp.minimum(y, 0.0) + alpha) * dy)


ELU = Activation(
    forward=_elu,
    backward=_elu_backward,
    cuda_forward="x > T(0) ? x : alpha * expm1(x)",
    cuda_backward="y > T(0) ? dy : (y + alpha) * dy",
)


SQRT_HALF = math.sqrt(0.5)
INVERSE_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
TANH_GELU_SCALE = 2.0 * math.sqrt(2.0 / math.pi)  # doubled: (1 + tanh u) / 2 = σ(2u), which loses no digits
TANH_GELU_CUBIC = 0.044715
FLAT = 40.0  # beyond ±40, both forms of GELU have slope 0 or 1
CUDA_CLIPPED = f"nnx_clip(x, T(-{FLAT:g}), T({FLAT:g}))"


def _gelu(ops: Activations, x: Array, alpha: float) -> Array:
    return 0.5 * x * ops.erfc(-SQRT_HALF * x)


def _gelu_backward(ops: Activations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    xp = ops.xp
    return dy * (0.5 * ops.erfc(-SQRT_HALF * x) + x * (INVERSE_SQRT_TWO_PI * xp.exp(-0.5 * x * x)))


GELU = Activation(
    forward=_gelu,
    backward=_gelu_backward,
    from_output=False,
    saturates=FLAT,
    cuda_forward="T(0.5) * x * erfc(x * T(-0.7071067811865476))",
    cuda_backward=f"dy * nnx_gelu_slope({CUDA_CLIPPED})",
)


def _gelu_tanh(ops: Operations, x: Array, alpha: float) -> Array:
    z = ops.xp.clip(x, -FLAT, FLAT)
    return x * sigmoid(ops, TANH_GELU_SCALE * z * (1.0 + TANH_GELU_CUBIC * z * z))


def _gelu_tanh_backward(ops: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    inner = TANH_GELU_SCALE * x * (1.0 + TANH_GELU_CUBIC * x * x)
    slope = TANH_GELU_SCALE * (1.0 + 3.0 * TANH_GELU_CUBIC * x * x)
    s, rest = sigmoids(ops, inner)
    return dy * (s + x * s * rest * slope)


GELU_TANH = Activation(
    forward=_gelu_tanh,
    backward=_gelu_tanh_backward,
    from_output=False,
    saturates=FLAT,
    cuda_forward=f"x * nnx_sigmoid(nnx_gelu_inner({CUDA_CLIPPED}))",
    cuda_backward=f"dy * nnx_gelu_tanh_slope({CUDA_CLIPPED})",
)

CUDA_FUNCTIONS = (
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
"""
)


SOFTMAX = Activation(
    forward=lambda ops, x, alpha: softmax.softmax(ops, x),
    backward=softmax.softmax_backward,
    cuda_rows=(softmax.FORWARD, softmax.BACKWARD),
)


ACTIVATIONS = {
    "identity": IDENTITY,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "gelu": GELU,
    "gelu_tanh": GELU_TANH,
    "silu": SILU,
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "softplus": SOFTPLUS,
    "exponential": EXPONENTIAL,
    "softmax": SOFTMAX,
}


class Activations(Operations):
    """The activations in the plain form."""

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """y = f(x), where f is the activation `kind` in `ACTIVATIONS`."""
        y[...] = ACTIVATIONS[kind].forward(self, x, alpha)
        return y

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """dx = dy ∘ f'(x) (for softmax, the whole Jacobian); `x` may be None for kinds with `from_output`."""
        activation = ACTIVATIONS[kind]
        if activation.saturates < math.inf:
            x = self.xp.clip(x, -activation.saturates, activation.saturates)
        dx[...] = activation.backward(self, dy, x, y, alpha)
        return dx

    def erfc(self, x: Array) -> Array:
        """Compute the complementary error function 1 − erf(x) = 2/√π ∫ₓ^∞ e^−t² dt, elementwise."""
        try:
            from scipy.special import erfc
        except ModuleNotFoundError:  # SciPy is optional; Python's function is as exact, but slow
            return np.vectorize(math.erfc, otypes=[x.dtype])(x)
        return erfc(x)


class ActivationsNumPy(InPlace, Activations):
    """The activations in place, if a record has such a form; the others are rarely the bottleneck."""

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """Compute in place if the record has such a form."""
        in_place = ACTIVATIONS[kind].forward_in_place
        if in_place is None:
            return super().activation_forward(kind, x, y, alpha)
        return in_place(self, x, y, alpha)

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """Compute in place if the record has such a form."""
        in_place = ACTIVATIONS[kind].backward_in_place
        if in_place is None:
            return super().activation_backward(kind, dy, x, y, dx, alpha)
        return in_place(self, dy, x, y, dx, alpha)


FORWARD = {
    kind: Elementwise(
        f"{kind}_forward", "T x, T alpha", "T y", f"y = {activation.cuda_forward};", CUDA_FUNCTIONS
    )
    for kind, activation in ACTIVATIONS.items()
    if activation.cuda_forward
}
BACKWARD = {
    kind: Elementwise(
        f"{kind}_backward", "T dy, T x, T y, T alpha", "T dx", f"dx = {activation.cuda_backward};",
        CUDA_FUNCTIONS,
    )
    for kind, activation in ACTIVATIONS.items()
    if activation.cuda_backward
}  # fmt: skip


class ActivationsCuPy(OnGpu, Activations):
    """The activations on the GPU."""

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """Use one launch, or none for the identity in place."""
        with self._hold:
            rows = ACTIVATIONS[kind].cuda_rows
            if rows is not None:
                rows[0].over_rows(x, (self.xp.ascontiguousarray(x), y))
            elif kind not in FORWARD:
                super().activation_forward(kind, x, y, alpha)
            elif kind != "identity" or x is not y:
                FORWARD[kind].kernel(x, alpha, y)
        return y

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """Use one launch, or none for the identity in place."""
        xp = self.xp
        with self._hold:
            rows = ACTIVATIONS[kind].cuda_rows
            if rows is not None:
                rows[1].over_rows(y, (xp.ascontiguousarray(dy), xp.ascontiguousarray(y), dx))
            elif kind not in BACKWARD:
                super().activation_backward(kind, dy, x, y, dx, alpha)
            elif kind != "identity" or dy is not dx:
                BACKWARD[kind].kernel(dy, y if x is None else x, y, alpha, dx)
        return dx

    def erfc(self, x: Array) -> Array:
        """Use CuPy's function."""
        from cupyx.scipy.special import erfc

        with self._hold:
            return erfc(x)
