"""Update some rows of a table by the rules of updates.py, without weight decay and l2.

`rows` of shape (n,) holds numbers of rows, each once, and −1 for no row; `gradients` has the shape (n,
columns). Other rows do not change. Copies of the rows that are updated and written back give the same values;
optimizers make them where `updates_rows` is False.
"""

from __future__ import annotations

from nnx.ops.base import Array
from nnx.ops.steps import Number
from nnx.ops.updates import AdamStep, SGDStep


class RowUpdates(SGDStep, AdamStep):
    """The rules in the plain form.

    Attributes
    ----------
    updates_rows : bool
        Whether these operations are faster than copies.
    """

    updates_rows = False

    def sgd_rows(
        self, values: Array, gradients: Array, rows: Array, fault: Array, learning_rate: Number
    ) -> Array:
        """Do `sgd_step` without momentum for some rows of `values`."""
        used = rows >= 0
        some = values[rows[used]]
        values[rows[used]] = self.sgd_step(some, gradients[used], None, fault, learning_rate)
        return values

    def adam_rows(
        self, values: Array, gradients: Array, m: Array, v: Array, rows: Array, fault: Array,
        learning_rate: Number, step: int, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-7,
    ) -> Array:  # fmt: skip
        """Do `adam_step` for some rows of `values`, `m` and `v`."""
        used = rows >= 0
        at = rows[used]
        some = values[at], gradients[used], m[at], v[at]
        self.adam_step(*some, fault, learning_rate, step, beta1, beta2, epsilon)
        values[at], _, m[at], v[at] = some
        return values
