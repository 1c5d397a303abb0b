"""The activation functions, written plainly: what each computes and the gradient it passes back.

An entry of `ACTIVATIONS` is keyed by its kind. ``forward(backend, x, alpha)`` returns y and
``backward(backend, dy, x, y, alpha)`` returns dx = dy ∘ f'(x). Where ``from_output`` is true the derivative
is written in y alone, so that y may overwrite x (`Dense` and its activation then share one buffer).
``alpha`` is the one parameter some of them have (a slope), and is ignored by the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy

from nnx.ops.base import Array, Operations

SQRT_HALF = math.sqrt(0.5)
INVERSE_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
TANH_GELU_SCALE = 2.0 * math.sqrt(2.0 / math.pi)  # doubled: (1 + tanh u) / 2 = σ(2u), which loses no digits
TANH_GELU_CUBIC = 0.044715
FLAT = 40.0  # beyond ±40 both forms of GELU have a slope of 0 or 1; x² does not overflow before


@dataclass(frozen=True)
class Activation:
    """A pair of plain formulas; see the module's text."""

    forward: Callable[[Activations, Array, float], Array]
    backward: Callable[[Activations, Array, Array, Array, float], Array]
    from_output: bool = True


def sigmoid(backend: Operations, x: Array) -> Array:
    """σ(x) = 1 / (1 + e^−x), by e^−|x| so that no exponential overflows."""
    xp = backend.xp
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def sigmoids(backend: Operations, x: Array) -> tuple[Array, Array]:
    """σ(x) and 1 − σ(x) = σ(−x), both without loss of digits, from one exponential."""
    xp = backend.xp
    e = xp.exp(-xp.abs(x))
    large, small = 1.0 / (1.0 + e), e / (1.0 + e)
    return xp.where(x >= 0, large, small), xp.where(x >= 0, small, large)


def softplus(backend: Operations, x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log(1 + e^−|x|)."""
    xp = backend.xp
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def softmax(backend: Operations, x: Array) -> Array:
    """e^x_j / Σ_k e^x_k over each row, shifted by the row's maximum."""
    xp = backend.xp
    e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def _softmax_backward(backend: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    xp = backend.xp
    return y * (dy - xp.sum(dy * y, axis=1, keepdims=True))


def _gelu(backend: Activations, x: Array, alpha: float) -> Array:
    return 0.5 * x * backend.erfc(-SQRT_HALF * x)


def _gelu_backward(backend: Activations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    xp = backend.xp
    z = xp.clip(x, -FLAT, FLAT)
    return dy * (0.5 * backend.erfc(-SQRT_HALF * z) + z * (INVERSE_SQRT_TWO_PI * xp.exp(-0.5 * z * z)))


def _gelu_tanh(backend: Operations, x: Array, alpha: float) -> Array:
    z = backend.xp.clip(x, -FLAT, FLAT)
    return x * sigmoid(backend, TANH_GELU_SCALE * z * (1.0 + TANH_GELU_CUBIC * z * z))


def _gelu_tanh_backward(backend: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    z = backend.xp.clip(x, -FLAT, FLAT)
    inner = TANH_GELU_SCALE * z * (1.0 + TANH_GELU_CUBIC * z * z)
    slope = TANH_GELU_SCALE * (1.0 + 3.0 * TANH_GELU_CUBIC * z * z)
    s, rest = sigmoids(backend, inner)
    return dy * (s + z * s * rest * slope)


def _silu_backward(backend: Operations, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    s, rest = sigmoids(backend, x)
    return dy * (s * (1.0 + x * rest))


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        lambda backend, x, alpha: x,
        lambda backend, dy, x, y, alpha: dy,
    ),
    "relu": Activation(
        lambda backend, x, alpha: backend.xp.maximum(x, 0.0),
        lambda backend, dy, x, y, alpha: backend.xp.where(y > 0, dy, 0.0),
    ),
    "leaky_relu": Activation(
        lambda backend, x, alpha: backend.xp.where(x > 0, x, alpha * x),
        lambda backend, dy, x, y, alpha: backend.xp.where(y > 0, dy, alpha * dy),
    ),
    "elu": Activation(
        lambda backend, x, alpha: backend.xp.where(
            x > 0, x, alpha * backend.xp.expm1(backend.xp.minimum(x, 0.0))
        ),
        lambda backend, dy, x, y, alpha: backend.xp.where(
            y > 0, dy, (backend.xp.minimum(y, 0.0) + alpha) * dy
        ),
    ),
    "gelu": Activation(_gelu, _gelu_backward, from_output=False),
    "gelu_tanh": Activation(_gelu_tanh, _gelu_tanh_backward, from_output=False),
    "silu": Activation(lambda backend, x, alpha: x * sigmoid(backend, x), _silu_backward, from_output=False),
    "sigmoid": Activation(
        lambda backend, x, alpha: sigmoid(backend, x),
        lambda backend, dy, x, y, alpha: dy * y * (1.0 - y),
    ),
    "tanh": Activation(
        lambda backend, x, alpha: backend.xp.tanh(x),
        lambda backend, dy, x, y, alpha: dy * (1.0 - y * y),
    ),
    "softplus": Activation(
        lambda backend, x, alpha: softplus(backend, x),
        lambda backend, dy, x, y, alpha: -dy * backend.xp.expm1(-y),
    ),
    "softmax": Activation(lambda backend, x, alpha: softmax(backend, x), _softmax_backward),
}


class Activations(Operations):
    """The activations in the plain form."""

    def erfc(self, x: Array) -> Array:
        """The complementary error function, 1 − erf(x) = 2/√π ∫ₓ^∞ e^−t² dt, elementwise."""
        try:
            from scipy.special import erfc
        except ModuleNotFoundError:  # SciPy comes with an extra; Python's own function is as exact, and slow
            return numpy.vectorize(math.erfc, otypes=[x.dtype])(x)
        return erfc(x)

    def activation_forward(self, kind: str, x: Array, y: Array, alpha: float = 0.0) -> Array:
        """y = f(x), f by `kind` from `ACTIVATIONS`."""
        y[...] = ACTIVATIONS[kind].forward(self, x, alpha)
        return y

    def activation_backward(
        self, kind: str, dy: Array, x: Array | None, y: Array, dx: Array, alpha: float = 0.0
    ) -> Array:
        """dx = dy ∘ f'(x) (softmax: with its whole Jacobian); `x` may be None for kinds written in y."""
        dx[...] = ACTIVATIONS[kind].backward(self, dy, x, y, alpha)
        return dx
