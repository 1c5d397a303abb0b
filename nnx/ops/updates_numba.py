"""Compiled forms of updates.py: stochastic gradient descent without momentum, and Adam."""

from __future__ import annotations

import math
from typing import Any

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, team
from nnx.ops.share_numba import share
from nnx.ops.updates import AdamStepNumPy, SGDStepNumPy


class FlatBuffers(Compiled):
    """Base class of the compiled rules."""

    def _flat(self, team_kernel: Any, buffers: tuple[Array, ...], constants: tuple[float, ...]) -> None:
        """Run a kernel over flat buffers, on one thread or on all."""
        number = buffers[0].dtype.type
        segments = self.threads if buffers[0].size >= SMALL_ARRAY else 1
        team_kernel(*buffers, *map(number, constants), segments)


@inner
def sgd(w: Array, g: Array, rate: Scalar, shrink: Scalar, l2: Scalar) -> None:
    """w = shrink w − rate (g + l2 w)."""
    for i in range(w.size):
        w[i] = w[i] * shrink - rate * (g[i] + l2 * w[i])


@team
def team_sgd(w: Array, g: Array, rate: Scalar, shrink: Scalar, l2: Scalar, segments: int) -> None:
    """Update each segment of the flat buffers in parallel."""
    share(sgd, (w, g), (rate, shrink, l2), segments)


class SGDStepNumba(FlatBuffers, SGDStepNumPy):
    """Stochastic gradient descent in one pass."""

    def sgd_step(
        self, values: Array, gradients: Array, velocity: Array | None, fault: Array, learning_rate: float,
        momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update in one pass if there is no momentum; see benchmarks/operations.py, sgd_step."""
        if velocity is not None:
            return super().sgd_step(
                values, gradients, velocity, fault, learning_rate, momentum, nesterov, weight_decay, l2
            )
        if not fault[0]:
            shrink = 1.0 - learning_rate * weight_decay
            self._flat(team_sgd, (values, gradients), (learning_rate, shrink, l2))
        return values


@inner
def adam(
    w: Array, g: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar, epsilon: Scalar,
    shrink: Scalar, l2: Scalar,
) -> None:  # fmt: skip
    """Update like `AdamStep.adam_step`; c1 = 1 − β₁, c2 = 1 − β₂, and `rate` includes both corrections."""
    for i in range(w.size):
        gradient = g[i] + l2 * w[i]
        mean = m[i] + c1 * (gradient - m[i])
        square = v[i] + c2 * (gradient * gradient - v[i])
        m[i] = mean
        v[i] = square
        w[i] = w[i] * shrink - rate * mean / (math.sqrt(square) + epsilon)


@team
def team_adam(
    w: Array, g: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar, epsilon: Scalar,
    shrink: Scalar, l2: Scalar, segments: int,
) -> None:  # fmt: skip
    """Update each segment of the flat buffers in parallel."""
    share(adam, (w, g, m, v), (rate, c1, c2, epsilon, shrink, l2), segments)


class AdamStepNumba(FlatBuffers, AdamStepNumPy):
    """Adam in one pass."""

    def adam_step(
        self, values: Array, gradients: Array, m: Array, v: Array, fault: Array, learning_rate: float,
        step: int, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float = 0.0, l2: float = 0.0,
    ) -> Array:  # fmt: skip
        """Update in one pass; see benchmarks/operations.py, adam_step."""
        if not fault[0]:
            rate = learning_rate * math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)
            shrink = 1.0 - learning_rate * weight_decay
            constants = (rate, 1.0 - beta1, 1.0 - beta2, epsilon, shrink, l2)
            self._flat(team_adam, (values, gradients, m, v), constants)
        return values


class UpdatesNumba(SGDStepNumba, AdamStepNumba):
    """All compiled rules."""
