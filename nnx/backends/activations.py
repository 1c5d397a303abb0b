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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnx.backends.base import Backend

Array = Any

SQRT_HALF = math.sqrt(0.5)
INVERSE_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
TANH_GELU_SCALE = math.sqrt(2.0 / math.pi)
TANH_GELU_CUBIC = 0.044715


@dataclass(frozen=True)
class Activation:
    """A pair of plain formulas; see the module's text."""

    forward: Callable[[Backend, Array, float], Array]
    backward: Callable[[Backend, Array, Array, Array, float], Array]
    from_output: bool = True


def sigmoid(backend: Backend, x: Array) -> Array:
    """σ(x) = 1 / (1 + e^−x), by e^−|x| so that no exponential overflows."""
    xp = backend.xp
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(backend: Backend, x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log(1 + e^−|x|)."""
    xp = backend.xp
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def softmax(backend: Backend, x: Array) -> Array:
    """e^x_j / Σ_k e^x_k over each row, shifted by the row's maximum."""
    xp = backend.xp
    e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def _softmax_backward(backend: Backend, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    xp = backend.xp
    return y * (dy - xp.sum(dy * y, axis=1, keepdims=True))


def _gelu(backend: Backend, x: Array, alpha: float) -> Array:
    return 0.5 * x * (1.0 + backend.erf(x * SQRT_HALF))


def _gelu_backward(backend: Backend, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    xp = backend.xp
    cdf = 0.5 * (1.0 + backend.erf(x * SQRT_HALF))
    return dy * (cdf + x * INVERSE_SQRT_TWO_PI * xp.exp(-0.5 * x * x))


def _gelu_tanh(backend: Backend, x: Array, alpha: float) -> Array:
    inner = TANH_GELU_SCALE * x * (1.0 + TANH_GELU_CUBIC * x * x)
    return 0.5 * x * (1.0 + backend.xp.tanh(inner))


def _gelu_tanh_backward(backend: Backend, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    t = backend.xp.tanh(TANH_GELU_SCALE * x * (1.0 + TANH_GELU_CUBIC * x * x))
    slope = TANH_GELU_SCALE * (1.0 + 3.0 * TANH_GELU_CUBIC * x * x)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)


def _silu_backward(backend: Backend, dy: Array, x: Array, y: Array, alpha: float) -> Array:
    s = sigmoid(backend, x)
    return dy * s * (1.0 + x * (1.0 - s))


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
        lambda backend, dy, x, y, alpha: backend.xp.where(y > 0, dy, (y + alpha) * dy),
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
