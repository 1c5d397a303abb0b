"""Activations and losses over the whole range of numbers by another framework, with tolerances.

The reference computes in float64 on the same numbers as nnx. Rounding is counted in ε of the
type under test. An activation's output may be off by a few ε of itself; where a formula rounds the argument
of an exponential, by as many times more as that argument is large. A slope that is written in the output y
(as 1 − y² for tanh) is off by a few ε of 1, in every framework: y holds no more. What is less than the
smallest normal number may be zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Values = np.ndarray[Any, Any]
ALPHA = 0.3
HUBER = 0.7
SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)  # λ and α of the paper
EPSILON = 1e-7
GAMMA = 2.0
STRAIGHT = 60.0  # from here on, the Poisson loss has a straight line in place of e^z


def numbers(dtype: np.dtype) -> Values:
    """Both signs, from the least denormal to the largest finite number, and closely around zero."""
    info = np.finfo(dtype)
    powers = np.logspace(np.log10(float(info.tiny)), np.log10(float(info.max)) - 1e-6, 157)
    positive = np.concatenate([
        [float(info.smallest_subnormal), 3.0 * float(info.smallest_subnormal), 1e-30, float(info.max)],
        powers, np.linspace(0.0, 120.0, 301), [700.0, 709.5, 710.5, 745.0, 1e4, 3e7, 1e16, 1e17],
    ])  # fmt: skip
    return np.unique(np.concatenate([-positive, positive])).astype(dtype)


class Torch:
    """PyTorch."""

    denormals = True

    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        f = self.torch.nn.functional
        self.activations: dict[str, Callable[[Any], Any]] = {
            "identity": lambda x: 1.0 * x,
            "relu": f.relu,
            "leaky_relu": lambda x: f.leaky_relu(x, ALPHA),
            "elu": lambda x: f.elu(x, ALPHA),
            "gelu": f.gelu,
            "gelu_tanh": lambda x: f.gelu(x, approximate="tanh"),
            "silu": f.silu,
            "sigmoid": self.torch.sigmoid,
            "tanh": self.torch.tanh,
            "softplus": lambda x: f.softplus(x, threshold=1e3),
            "exponential": self.torch.exp,
            "selu": f.selu,
            "mish": self.mish,
            "hard_sigmoid": f.hardsigmoid,
            "softmax": lambda x: f.softmax(x, dim=1),
        }
        self.losses: dict[str, Callable[[Any, Any], Any]] = {
            "squared_error": lambda y, p: f.mse_loss(p, y, reduction="none"),
            "absolute_error": lambda y, p: f.l1_loss(p, y, reduction="none"),
            "huber": lambda y, p: f.huber_loss(p, y, reduction="none", delta=HUBER),
            "binary_cross_entropy": lambda y, p: f.binary_cross_entropy(p, y, reduction="none"),
            "binary_cross_entropy_from_logits": lambda y, z: f.binary_cross_entropy_with_logits(
                z, y, reduction="none"
            ),
            "categorical_cross_entropy": lambda y, p: -(y * p.log()),
            "categorical_cross_entropy_from_logits": lambda y, z: f.cross_entropy(z, y, reduction="none"),
            "hinge": lambda y, z: f.relu(1.0 - (2.0 * y - 1.0) * z),
            "squared_hinge": lambda y, z: f.relu(1.0 - (2.0 * y - 1.0) * z) ** 2,
            "poisson": lambda y, p: f.poisson_nll_loss(p, y, log_input=False, eps=0.0, reduction="none"),
            "poisson_from_log": lambda y, z: (
                f.poisson_nll_loss(z.clamp(max=STRAIGHT), 0.0 * y, reduction="none")
                * (1.0 + f.relu(z - STRAIGHT))
                - y * z
            ),
            "binary_focal": lambda y, p: (
                -y * (1.0 - p) ** GAMMA * p.log() - (1.0 - y) * p**GAMMA * self.torch.log1p(-p)
            ),
            "binary_focal_from_logits": lambda y, z: (
                -y * self.torch.sigmoid(-z) ** GAMMA * f.logsigmoid(z)
                - (1.0 - y) * self.torch.sigmoid(z) ** GAMMA * f.logsigmoid(-z)
            ),
            "categorical_focal": lambda y, p: -y * (1.0 - p) ** GAMMA * p.log(),
            "categorical_focal_from_logits": self.focal,
        }

    def focal(self, y: Any, z: Any) -> Any:
        """The categorical focal loss of softmax(z)."""
        log_p = self.torch.nn.functional.log_softmax(z, dim=1)
        counted = self.torch.where(y > 0, log_p, 0.0)  # 0 times an infinite logarithm is NaN
        return -y * (-self.torch.expm1(counted)) ** GAMMA * counted

    def mish(self, x: Any) -> Any:
        """The formula in terms that keep their digits: f.mish adds 1 to e^x."""
        return x * self.torch.tanh(self.torch.nn.functional.softplus(x, threshold=1e3))

    def activation(self, kind: str, x: Values, dy: Values) -> tuple[Values, Values]:
        """y and dx."""
        given = self.torch.tensor(x.astype(np.float64), requires_grad=True)
        y = self.activations[kind](given)
        y.backward(self.torch.tensor(dy.astype(np.float64)))
        return y.detach().numpy(), given.grad.numpy()

    def loss(self, kind: str, y: Values, p: Values) -> tuple[Values, Values]:
        """Each row's loss, and its gradient in p."""
        given = self.torch.tensor(p.astype(np.float64), requires_grad=True)
        value = self.losses[kind](self.torch.tensor(y.astype(np.float64)), given)
        value.sum().backward()
        return value.detach().numpy().reshape(len(p), -1).sum(axis=1), given.grad.numpy()


class TensorFlow:
    """TensorFlow, whose derivatives are taken; its constants in float32 and its 1 + erf are left aside."""

    denormals = False  # it takes them for zero

    def __init__(self) -> None:
        self.tf = tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
        self.activations: dict[str, Callable[[Any], Any]] = {
            "identity": tf.identity,
            "relu": tf.nn.relu,
            "leaky_relu": lambda x: tf.where(x > 0, x, ALPHA * x),
            "elu": lambda x: tf.where(x > 0, x, ALPHA * tf.math.expm1(tf.minimum(x, 0.0))),
            "gelu": lambda x: 0.5 * x * tf.math.erfc(-x * 0.5**0.5),
            "gelu_tanh": lambda x: 0.5 * x * (1 + tf.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x))),
            "silu": tf.nn.silu,
            "sigmoid": tf.sigmoid,
            "tanh": tf.tanh,
            "softplus": tf.math.softplus,
            "exponential": tf.exp,
            "selu": lambda x: SELU[0] * tf.where(x > 0, x, SELU[1] * tf.math.expm1(tf.minimum(x, 0.0))),
            "mish": lambda x: x * tf.tanh(tf.math.softplus(x)),
            "hard_sigmoid": lambda x: tf.clip_by_value(x + 3.0, 0.0, 6.0) / 6.0,
            "softmax": tf.nn.softmax,
        }
        squared = tf.math.squared_difference

        def huber(y: Any, p: Any) -> Any:
            e = tf.abs(p - y)
            return tf.where(e <= HUBER, 0.5 * tf.square(tf.minimum(e, HUBER)), HUBER * (e - 0.5 * HUBER))

        self.losses: dict[str, Callable[[Any, Any], Any]] = {
            "squared_error": lambda y, p: squared(p, y),
            "absolute_error": lambda y, p: tf.abs(p - y),
            "huber": huber,
            "binary_cross_entropy": lambda y, p: -y * tf.math.log(p) - (1.0 - y) * tf.math.log1p(-p),
            "binary_cross_entropy_from_logits": lambda y, z: tf.nn.sigmoid_cross_entropy_with_logits(y, z),
            "categorical_cross_entropy": lambda y, p: -y * tf.math.log(p),
            "categorical_cross_entropy_from_logits": lambda y, z: tf.nn.softmax_cross_entropy_with_logits(
                y, z
            ),
            "hinge": lambda y, z: tf.nn.relu(1.0 - (2.0 * y - 1.0) * z),
            "squared_hinge": lambda y, z: tf.nn.relu(1.0 - (2.0 * y - 1.0) * z) ** 2,
            "poisson_from_log": lambda y, z: (
                tf.exp(tf.minimum(z, STRAIGHT)) * (1.0 + tf.nn.relu(z - STRAIGHT)) - y * z
            ),
            "binary_focal_from_logits": lambda y, z: (
                y * tf.sigmoid(-z) ** GAMMA * tf.math.softplus(-z)
                + (1.0 - y) * tf.sigmoid(z) ** GAMMA * tf.math.softplus(z)
            ),
        }

    def activation(self, kind: str, x: Values, dy: Values) -> tuple[Values, Values]:
        """y and dx."""
        given = self.tf.constant(x.astype(np.float64))
        with self.tf.GradientTape() as tape:
            tape.watch(given)
            y = self.activations[kind](given)
        return y.numpy(), tape.gradient(y, given, self.tf.constant(dy.astype(np.float64))).numpy()

    def loss(self, kind: str, y: Values, p: Values) -> tuple[Values, Values]:
        """Each row's loss, and its gradient in p."""
        given = self.tf.constant(p.astype(np.float64))
        with self.tf.GradientTape() as tape:
            tape.watch(given)
            value = self.losses[kind](self.tf.constant(y.astype(np.float64)), given)
        return value.numpy().reshape(len(p), -1).sum(axis=1), tape.gradient(value, given).numpy()


FRAMEWORKS = {"torch": Torch, "tensorflow": TensorFlow}


def outputs_bound(kind: str, x: Values, y: Values) -> Values:
    """How far a forward pass may be off, in ε of the type."""
    x = np.minimum(np.abs(x.astype(np.float64)), 1e3)
    steep = {"gelu": 4.0 * x**2, "gelu_tanh": 4.0 * x * (1.0 + 0.05 * x**2)}.get(kind, 0.0)
    return (8.0 + steep) * np.abs(y)


def slopes_bound(kind: str, x: Values, dx: Values) -> Values:
    """How far a backward pass with dy = 1 may be off, in ε of the type; `dx` is right."""
    x = np.minimum(np.abs(x.astype(np.float64)), 1e3)
    own = 8.0 * np.abs(dx)
    if kind == "gelu":  # Φ + x φ, of either sign
        return own + (8.0 + 4.0 * x**2) * np.exp(-0.5 * x**2) * (1.0 + x)
    if kind == "gelu_tanh":  # σ + x σ (1 − σ) s, σ of an argument of size a and s = da/dx
        a, s = 1.6 * x * (1.0 + 0.045 * x**2), 1.6 * (1.0 + 0.135 * x**2)
        return own + (8.0 + 4.0 * a) * np.exp(-a) * (1.0 + x * s)
    if kind == "silu":  # x (1 − σ), 1 − σ off by ε/2 as long as it is not 0, which it is from x = 17 or 37
        return own + 0.5 * np.minimum(x, 40.0) + 4.0
    return own + (0.0 if kind in ("identity", "relu", "leaky_relu", "softplus") else 4.0)


def near(
    actual: Values, expected: Values, bound: Any, dtype: np.dtype, x: Values, scale: float = 1.0
) -> None:
    """`actual` within `bound` ε of `scale` times what is right, which overflows where the type does.

    A factor less than the smallest normal number may be zero. So may be what the reference, whose GELU is
    1 + erf, loses to rounding; where it is NaN, nnx must be finite all the same.
    """
    info, size = np.finfo(dtype), np.clip(np.abs(x.astype(np.float64)), 1.0, 1e3)
    right = scale * expected
    fits = np.abs(right) < float(info.max)  # False for NaN
    error = np.abs(np.where(fits, actual, 0.0) - np.where(fits, right, 0.0))
    allowed = float(info.eps) * bound + 4.0 * np.finfo(np.float64).eps * size + float(info.tiny) * size
    wrong = fits & ~(error <= abs(scale) * allowed)
    wrong |= ~fits & ~np.isnan(right) & (np.sign(actual) != np.sign(right)) | np.isnan(actual)
    units = error / float(info.eps)
    assert not wrong.any(), (
        f"at {x[wrong][:4]}: {actual[wrong][:4]}, right {right[wrong][:4]}, {units[wrong][:4]} ε"
    )
