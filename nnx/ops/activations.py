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

from nnx.ops import curves, softmax
from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import Elementwise, Raw
from nnx.ops.curves import sigmoid as sigmoid
from nnx.ops.curves import sigmoid_in_place as sigmoid_in_place
from nnx.ops.curves import sigmoids as sigmoids
from nnx.ops.curves import softplus as softplus

CUDA_FUNCTIONS = curves.CUDA  # before the code of a kernel
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


GELU = Activation(
    forward=curves.gelu,
    backward=curves.gelu_backward,
    from_output=False,
    saturates=curves.FLAT,
    cuda_forward="T(0.5) * x * erfc(x * T(-0.7071067811865476))",
    cuda_backward=f"dy * nnx_gelu_slope({curves.CLIPPED})",
)


GELU_TANH = Activation(
    forward=curves.gelu_tanh,
    backward=curves.gelu_tanh_backward,
    from_output=False,
    saturates=curves.FLAT,
    cuda_forward=f"x * nnx_sigmoid(nnx_gelu_inner({curves.CLIPPED}))",
    cuda_backward=f"dy * nnx_gelu_tanh_slope({curves.CLIPPED})",
)

SOFTMAX = Activation(
    forward=lambda ops, x, alpha: softmax.softmax(ops, x),
    backward=softmax.softmax_backward,
    cuda_rows=(softmax.FORWARD, softmax.BACKWARD),
)


SELU = Activation(
    forward=lambda ops, x, alpha: curves.selu(ops, x),
    backward=lambda ops, dy, x, y, alpha: curves.selu_backward(ops, dy, y),
    forward_in_place=lambda ops, x, y, alpha: curves.selu_in_place(ops, x, y),
    backward_in_place=lambda ops, dy, x, y, dx, alpha: curves.selu_backward_in_place(ops, dy, y, dx),
    cuda_forward=f"x > T(0) ? T({curves.SELU_SCALE}) * x : T({curves.SELU_LEFT}) * expm1(x)",
    cuda_backward=f"y > T(0) ? T({curves.SELU_SCALE}) * dy : (y + T({curves.SELU_LEFT})) * dy",
)

MISH = Activation(
    forward=lambda ops, x, alpha: curves.mish(ops, x),
    backward=lambda ops, dy, x, y, alpha: curves.mish_backward(ops, dy, x),
    from_output=False,
    cuda_forward="x * nnx_mish_gate(x)",
    cuda_backward="dy * nnx_mish_slope(x)",
)

HARD_SIGMOID = Activation(
    forward=lambda ops, x, alpha: ops.xp.clip(x + 3.0, 0.0, 6.0) / 6.0,
    backward=lambda ops, dy, x, y, alpha: ops.xp.where((y > 0.0) & (y < 1.0), dy / 6.0, 0.0),
    forward_in_place=lambda ops, x, y, alpha: curves.hard_sigmoid_in_place(x, y),
    cuda_forward="nnx_clip(x + T(3), T(0), T(6)) / T(6)",
    cuda_backward="y > T(0) && y < T(1) ? dy / T(6) : T(0)",
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
    "selu": SELU,
    "mish": MISH,
    "hard_sigmoid": HARD_SIGMOID,
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
                rows[0].over_rows(x, (self.xp.ascontiguousarray(x), y), each=4)
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
                rows[1].over_rows(y, (xp.ascontiguousarray(dy), xp.ascontiguousarray(y), dx), each=4)
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
