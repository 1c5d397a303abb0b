"""The optimizers' rules.

Each updates flat buffers in place. `fault` is an integer array of shape (1,): while it is not zero, nothing
may change (see `nnx.ops.gradients.Gradients.raise_fault`). `l2` adds l2·w to the gradient; `weight_decay` is
decoupled: w shrinks by learning_rate·weight_decay·w before the update.
"""

from __future__ import annotations

from nnx.ops.base import Array, Operations


class Updates(Operations):
    """The rules in the plain form."""

    def sgd_step(
        self,
        values: Array,
        gradients: Array,
        velocity: Array | None,
        fault: Array,
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
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

    def adam_step(
        self,
        values: Array,
        gradients: Array,
        m: Array,
        v: Array,
        fault: Array,
        learning_rate: float,
        step: int,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """m = β₁ m + (1−β₁) g; v = β₂ v + (1−β₂) g²; w = w − η √(1−β₂ᵗ)/(1−β₁ᵗ) m / (√v + ε).

        `step` is t, counted from 1. ε stands outside the corrected root, as in section 2 of Kingma and Ba
        (2015) and in Keras.
        """
        rate = learning_rate * (1.0 - beta2**step) ** 0.5 / (1.0 - beta1**step)
        g = gradients + l2 * values
        new_m = m + (1.0 - beta1) * (g - m)
        new_v = v + (1.0 - beta2) * (g * g - v)
        w = values * (1.0 - learning_rate * weight_decay) - rate * new_m / (self.xp.sqrt(new_v) + epsilon)
        self._commit(m, new_m, fault)
        self._commit(v, new_v, fault)
        return self._commit(values, w, fault)

    def rmsprop_step(
        self,
        values: Array,
        gradients: Array,
        v: Array,
        velocity: Array | None,
        fault: Array,
        learning_rate: float,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """v = ρ v + (1−ρ) g²; d = η g / √(v + ε); with momentum u = μ u + d, w = w − u; else w = w − d."""
        g = gradients + l2 * values
        new_v = v + (1.0 - rho) * (g * g - v)
        update = learning_rate * g / self.xp.sqrt(new_v + epsilon)
        if velocity is not None:
            update = momentum * velocity + update
            self._commit(velocity, update, fault)
        self._commit(v, new_v, fault)
        return self._commit(values, values * (1.0 - learning_rate * weight_decay) - update, fault)

    def adagrad_step(
        self,
        values: Array,
        gradients: Array,
        accumulator: Array,
        fault: Array,
        learning_rate: float,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
        l2: float = 0.0,
    ) -> Array:
        """a = a + g²; w = w − η g / √(a + ε)."""
        g = gradients + l2 * values
        total = accumulator + g * g
        w = values * (1.0 - learning_rate * weight_decay) - learning_rate * g / self.xp.sqrt(total + epsilon)
        self._commit(accumulator, total, fault)
        return self._commit(values, w, fault)

    def _commit(self, target: Array, new: Array, fault: Array) -> Array:
        target[...] = self.xp.where(fault == 0, new, target)
        return target
