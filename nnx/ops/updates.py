"""The update rules of the optimizers, one class for each.

A rule updates flat buffers in place. `fault` is an integer array of shape (1,); while it is not 0, nothing
may change (`flag_nonfinite` in gradients.py sets it). `l2` adds l2·w to the gradient; `weight_decay` is
decoupled: w shrinks by learning_rate·weight_decay·w before the update.

On NumPy, a rule processes a chunk of the buffers at a time, so that its temporary arrays stay in the caches.
The CUDA kernels read two numbers of a step from the device's memory: `rate` is the learning rate with its
corrections, and `shrink` is 1 − learning_rate·weight_decay. If an operation gets a `PerStep` as the learning
rate, they are there already; otherwise a small kernel writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import Flat
from nnx.ops.steps import NOW, PARAMETERS, Number, PerStep, written

CHUNK = 65536  # elements that a rule processes at a time on NumPy

# the first parameters of a rule's kernel, and the code that reads the two numbers of a step
PLACE = f"const long long* fault, const T* numbers, {PARAMETERS}"
RULE = f"const long long at = {NOW}; const T rate = numbers[at], shrink = numbers[at + 1]; "


class Rule(Operations):
    """Base class of the plain forms."""

    def _commit(self, target: Array, new: Array, fault: Array) -> Array:
        target[...] = self.xp.where(fault == 0, new, target)
        return target


class RuleCuPy(OnGpu):
    """Base class of the forms on the GPU."""

    def _update(
        self, rule: Flat, buffers: tuple[Array, ...], fault: Array, rate: Number, weight_decay: float,
        *numbers: float,
    ) -> Array:  # fmt: skip
        """Launch a rule's kernel for the gradients, the values and further buffers; return the values."""
        values = buffers[1]
        if not isinstance(rate, PerStep):
            rate = written(self, values.dtype, rate, 1.0 - rate * weight_decay)
        rule.launch(buffers, fault, *rate.arguments, *numbers)
        return values


# ------------------------------------------------------------- stochastic gradient descent


class SGDStep(Rule):
    """Stochastic gradient descent in the plain form."""

    def sgd_step(
        self, values: Array, gradients: Array, velocity: Array | None, fault: Array, learning_rate: Number,
        momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """u = μ u − η g; w = w + u, or with Nesterov w = w + μ u − η g. Without momentum w = w − η g."""
        g = gradients + l2 * values
        w = values * (1.0 - learning_rate * weight_decay)
        if velocity is None:
            w = w - learning_rate * g
        else:
            u = momentum * velocity - learning_rate * g
            w = w + (momentum * u - learning_rate * g if nesterov else u)
            self._commit(velocity, u, fault)
        return self._commit(values, w, fault)


class SGDStepNumPy(InPlace, SGDStep):
    """Stochastic gradient descent in place."""

    def sgd_step(
        self, values: Array, gradients: Array, velocity: Array | None, fault: Array, learning_rate: float,
        momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update chunk by chunk, in place."""
        if fault[0]:
            return values
        for w, g, u in _chunks(values, gradients, velocity):
            update = self._scratch(w.shape, w.dtype)
            if l2:
                np.multiply(w, l2, out=update)
                update += g
                update *= learning_rate
            else:
                np.multiply(g, learning_rate, out=update)
            if weight_decay:
                w *= 1.0 - learning_rate * weight_decay
            if u is None:
                w -= update
                continue
            u *= momentum
            u -= update
            if nesterov:
                w -= update
                w += np.multiply(u, momentum, out=update)
            else:
                w += u
        return values


SGD = Flat(
    "sgd",
    inputs="T gradient",
    outputs="T w",
    more=PLACE + ", T l2",
    body=RULE + "if (fault[0] == 0) w = w * shrink - rate * (gradient + l2 * w);",
)
SGD_MOMENTUM = Flat(
    "sgd_momentum",
    inputs="T gradient",
    outputs="T w, T u",
    more=PLACE + ", T l2, T momentum, long long nesterov",
    body=RULE + "if (fault[0] == 0) {"
    " const T d = rate * (gradient + l2 * w);"
    " u = momentum * u - d;"
    " w = w * shrink + (nesterov ? momentum * u - d : u); }",
)


class SGDStepCuPy(RuleCuPy, SGDStep):
    """Stochastic gradient descent on the GPU."""

    def sgd_step(
        self, values: Array, gradients: Array, velocity: Array | None, fault: Array, learning_rate: Number,
        momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update with one launch."""
        common = (fault, learning_rate, weight_decay, l2)
        with self._hold:
            if velocity is None:
                return self._update(SGD, (gradients, values), *common)
            buffers = (gradients, values, velocity)
            return self._update(SGD_MOMENTUM, buffers, *common, momentum, int(nesterov))


# ------------------------------------------------------------------------------------ Adam


class AdamStep(Rule):
    """Adam in the plain form."""

    def adam_step(
        self, values: Array, gradients: Array, m: Array, v: Array, fault: Array, learning_rate: Number,
        step: int, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²; w = w − η √(1−β₂ᵗ)/(1−β₁ᵗ) m / (√v + ε).

        `step` is t, counted from 1. ε is outside the corrected root, as at the end of section 2 of Kingma and
        Ba (2015) and in Keras.
        """
        rate = learning_rate * (1.0 - beta2**step) ** 0.5 / (1.0 - beta1**step)
        g = gradients + l2 * values
        new_m = m + (1.0 - beta1) * (g - m)
        new_v = v + (1.0 - beta2) * (g * g - v)
        w = values * (1.0 - learning_rate * weight_decay) - rate * new_m / (self.xp.sqrt(new_v) + epsilon)
        self._commit(m, new_m, fault)
        self._commit(v, new_v, fault)
        return self._commit(values, w, fault)


class AdamStepNumPy(InPlace, AdamStep):
    """Adam in place."""

    def adam_step(
        self, values: Array, gradients: Array, m: Array, v: Array, fault: Array, learning_rate: float,
        step: int, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update chunk by chunk, in place."""
        if fault[0]:
            return values
        rate = learning_rate * math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)
        for w, g, m_, v_ in _chunks(values, gradients, m, v):
            a, b = self._scratch(w.shape, w.dtype), self._scratch(w.shape, w.dtype, 1)
            if l2:
                np.multiply(w, l2, out=b)
                g = np.add(b, g, out=b)
            np.multiply(g, g, out=a)
            a -= v_
            a *= 1.0 - beta2
            v_ += a
            np.subtract(g, m_, out=a)
            a *= 1.0 - beta1
            m_ += a
            np.sqrt(v_, out=a)
            a += epsilon
            np.divide(m_, a, out=a)
            a *= rate
            if weight_decay:
                w *= 1.0 - learning_rate * weight_decay
            w -= a
        return values


ADAM = Flat(
    "adam",
    inputs="T gradient",
    outputs="T w, T m, T v",
    more=PLACE + ", T l2, T beta1_rest, T beta2_rest, T epsilon",
    body=RULE + "if (fault[0] == 0) {"
    " const T g = gradient + l2 * w;"
    " m += beta1_rest * (g - m);"
    " v += beta2_rest * (g * g - v);"
    " w = w * shrink - rate * m / (sqrt(v) + epsilon); }",
)


def corrected_rate(learning_rate: float, step: int, beta1: float, beta2: float) -> float:
    """η √(1−β₂ᵗ)/(1−β₁ᵗ), where t is the number of the step, from 1."""
    return float(learning_rate * (1.0 - beta2**step) ** 0.5 / (1.0 - beta1**step))


class AdamStepCuPy(RuleCuPy, AdamStep):
    """Adam on the GPU."""

    def adam_step(
        self, values: Array, gradients: Array, m: Array, v: Array, fault: Array, learning_rate: Number,
        step: int, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update with one launch."""
        with self._hold:
            numbers = learning_rate
            if not isinstance(numbers, PerStep):
                corrected = corrected_rate(learning_rate, step, beta1, beta2)
                numbers = written(self, values.dtype, corrected, 1.0 - learning_rate * weight_decay)
            buffers, rest = (gradients, values, m, v), (1.0 - beta1, 1.0 - beta2)
            return self._update(ADAM, buffers, fault, numbers, weight_decay, l2, *rest, epsilon)


# --------------------------------------------------------------------------------- RMSprop


class RMSpropStep(Rule):
    """RMSprop in the plain form."""

    def rmsprop_step(
        self, values: Array, gradients: Array, v: Array, velocity: Array | None, fault: Array,
        learning_rate: Number, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """v = ρ v + (1−ρ) g²; d = η g / √(v + ε); with momentum u = μ u + d, w = w − u; else w = w − d."""
        g = gradients + l2 * values
        new_v = v + (1.0 - rho) * (g * g - v)
        update = learning_rate * g / self.xp.sqrt(new_v + epsilon)
        if velocity is not None:
            update = momentum * velocity + update
            self._commit(velocity, update, fault)
        self._commit(v, new_v, fault)
        return self._commit(values, values * (1.0 - learning_rate * weight_decay) - update, fault)


RMSPROP = Flat(
    "rmsprop",
    inputs="T gradient",
    outputs="T w, T v",
    more=PLACE + ", T l2, T rho_rest, T epsilon",
    body=RULE + "if (fault[0] == 0) {"
    " const T g = gradient + l2 * w;"
    " v += rho_rest * (g * g - v);"
    " w = w * shrink - rate * g / sqrt(v + epsilon); }",
)
RMSPROP_MOMENTUM = Flat(
    "rmsprop_momentum",
    inputs="T gradient",
    outputs="T w, T v, T u",
    more=PLACE + ", T l2, T rho_rest, T epsilon, T momentum",
    body=RULE + "if (fault[0] == 0) {"
    " const T g = gradient + l2 * w;"
    " v += rho_rest * (g * g - v);"
    " u = momentum * u + rate * g / sqrt(v + epsilon);"
    " w = w * shrink - u; }",
)


class RMSpropStepCuPy(RuleCuPy, RMSpropStep):
    """RMSprop on the GPU."""

    def rmsprop_step(
        self, values: Array, gradients: Array, v: Array, velocity: Array | None, fault: Array,
        learning_rate: Number, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update with one launch."""
        common = (fault, learning_rate, weight_decay, l2, 1.0 - rho, epsilon)
        with self._hold:
            if velocity is None:
                return self._update(RMSPROP, (gradients, values, v), *common)
            return self._update(RMSPROP_MOMENTUM, (gradients, values, v, velocity), *common, momentum)


# --------------------------------------------------------------------------------- Adagrad


class AdagradStep(Rule):
    """Adagrad in the plain form."""

    def adagrad_step(
        self, values: Array, gradients: Array, accumulator: Array, fault: Array, learning_rate: Number,
        epsilon: float = 1e-7, weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """a = a + g²; w = w − η g / √(a + ε)."""
        g = gradients + l2 * values
        total = accumulator + g * g
        w = values * (1.0 - learning_rate * weight_decay) - learning_rate * g / self.xp.sqrt(total + epsilon)
        self._commit(accumulator, total, fault)
        return self._commit(values, w, fault)


ADAGRAD = Flat(
    "adagrad",
    inputs="T gradient",
    outputs="T w, T total",
    more=PLACE + ", T l2, T epsilon",
    body=RULE + "if (fault[0] == 0) {"
    " const T g = gradient + l2 * w;"
    " total += g * g;"
    " w = w * shrink - rate * g / sqrt(total + epsilon); }",
)


class AdagradStepCuPy(RuleCuPy, AdagradStep):
    """Adagrad on the GPU."""

    def adagrad_step(
        self, values: Array, gradients: Array, accumulator: Array, fault: Array, learning_rate: Number,
        epsilon: float = 1e-7, weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update with one launch."""
        with self._hold:
            buffers = (gradients, values, accumulator)
            return self._update(ADAGRAD, buffers, fault, learning_rate, weight_decay, l2, epsilon)


# --------------------------------------------------------------------------- all of them


class Updates(SGDStep, AdamStep, RMSpropStep, AdagradStep):
    """The rules in the plain form."""


class UpdatesNumPy(SGDStepNumPy, AdamStepNumPy, Updates):
    """The rules on NumPy: in place where that is faster."""


class UpdatesCuPy(SGDStepCuPy, AdamStepCuPy, RMSpropStepCuPy, AdagradStepCuPy, Updates):
    """The rules on the GPU."""


def _chunks(*buffers: Array | None) -> Iterable[tuple[Array, ...]]:
    """Split flat buffers of one size (or None) into chunks that fit into the caches."""
    size = buffers[0].size  # type: ignore[union-attr]
    if size <= CHUNK:
        return (buffers,)
    starts = range(0, size, CHUNK)
    return (tuple(None if b is None else b[start : start + CHUNK] for b in buffers) for start in starts)
