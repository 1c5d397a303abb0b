"""Compiled forms of row_updates.py: each row is read and written once, where it lies."""

from __future__ import annotations

import math

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, Scalar, inner, team, usual
from nnx.ops.row_updates import RowUpdates
from nnx.ops.share_numba import share
from nnx.ops.updates_numba import adam, sgd


@inner
def sgd_of_rows(rows: Array, g: Array, w: Array, rate: Scalar, one: Scalar, zero: Scalar) -> None:
    """Update the rows whose number is not −1."""
    for i in range(rows.size):
        if rows[i] >= 0:
            sgd(w[rows[i]], g[i], rate, one, zero)


@team
def team_sgd_rows(
    rows: Array, g: Array, w: Array, rate: Scalar, one: Scalar, zero: Scalar, segments: int
) -> None:
    """Update the rows of each segment in parallel."""
    share(sgd_of_rows, (rows, g), (w, rate, one, zero), segments)


@inner
def adam_of_rows(
    rows: Array, g: Array, w: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar,
    epsilon: Scalar, one: Scalar, zero: Scalar,
) -> None:  # fmt: skip
    """Update the rows whose number is not −1."""
    for i in range(rows.size):
        if rows[i] >= 0:
            row = rows[i]
            adam(w[row], g[i], m[row], v[row], rate, c1, c2, epsilon, one, zero)


@team
def team_adam_rows(
    rows: Array, g: Array, w: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar,
    epsilon: Scalar, one: Scalar, zero: Scalar, segments: int,
) -> None:  # fmt: skip
    """Update the rows of each segment in parallel."""
    share(adam_of_rows, (rows, g), (w, m, v, rate, c1, c2, epsilon, one, zero), segments)


class RowUpdatesNumba(Compiled, RowUpdates):
    """The rules for some rows of a table, in one pass; see benchmarks/sparse.py."""

    updates_rows = True

    def sgd_rows(
        self, values: Array, gradients: Array, rows: Array, fault: Array, learning_rate: float
    ) -> Array:
        """Update each row where it lies."""
        if not (usual(values, gradients) and rows.flags.carray):
            return super().sgd_rows(values, gradients, rows, fault, learning_rate)
        if not fault[0]:
            constants = map(values.dtype.type, (learning_rate, 1.0, 0.0))
            team_sgd_rows(rows, gradients, values, *constants, self._of(gradients))
        return values

    def adam_rows(
        self, values: Array, gradients: Array, m: Array, v: Array, rows: Array, fault: Array,
        learning_rate: float, step: int, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7,
    ) -> Array:  # fmt: skip
        """Update each row where it lies."""
        if not (usual(values, gradients, m, v) and rows.flags.carray):
            return super().adam_rows(
                values, gradients, m, v, rows, fault, learning_rate, step, beta1, beta2, epsilon
            )
        if not fault[0]:
            rate = learning_rate * math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)
            constants = map(values.dtype.type, (rate, 1.0 - beta1, 1.0 - beta2, epsilon, 1.0, 0.0))
            team_adam_rows(rows, gradients, values, m, v, *constants, self._of(gradients))
        return values

    def _of(self, gradients: Array) -> int:
        """Return the number of segments."""
        return self._segments(len(gradients)) if gradients.size >= SMALL_ARRAY else 1
