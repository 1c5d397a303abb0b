"""What changes from step to step: numbers that the kernels of a GPU read from its memory.

The host computes the numbers of a whole epoch (row numbers, learning rates, dropout keys) and uploads them in
one copy. Two counters lie next to them: the number of the next step and that of the current step, from 0. The
first kernel of a step copies the first counter to the second, `record_step` sets the first to the following
step, and all kernels between them read the second. So every step is the same sequence of launches with the
same arguments, and can be captured once and replayed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import Elementwise, Flat

Number = Any  # a number, or on a GPU also a `PerStep`

# the inputs of a kernel that reads numbers of the current step, and where they are; NEXT: of the next step
INPUTS = "raw int64 counter, int64 width, int64 first"
PARAMETERS = "const long long* counter, long long width, long long first"  # the same of a raw kernel
NOW, NEXT = "counter[1] * width + first", "counter[0] * width + first"


@dataclass(frozen=True)
class PerStep:
    """Numbers of all steps of an epoch, in device memory.

    Attributes
    ----------
    values : flat array
        Step n has the numbers from ``values[n * width + first]``.
    counter : int64 array of shape (2,)
        The number of the next step, and of the current one.
    width, first : int
    """

    values: Array
    counter: Array
    width: int
    first: int = 0

    def at(self, first: int) -> PerStep:
        """Return the numbers that lie `first` places further in each step."""
        return replace(self, first=self.first + first)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return the arguments of a kernel: the values, then `INPUTS`."""
        return self.values, self.counter, self.width, self.first


class Steps(Operations):
    """Begin and end a step in the plain form."""

    def begin_step(self, counter: Array) -> None:
        """Make the next step the current one; gathering rows by a `PerStep` does the same."""
        counter[1:2] = counter[0:1]

    def record_step(
        self, value: Array, losses: Array, gradients: Array, fault: Array, counter: Array
    ) -> Array:
        """Store a step's loss, and search it and the gradients for values that are not finite.

        With n, the current step: losses[n] = value; fault = n + 1 if it is still 0 and the loss or a gradient
        is not finite; the next step is n + 1. A second call in the same step may search other values.
        """
        xp = self.xp
        finite = xp.all(xp.isfinite(value)) & xp.all(xp.isfinite(gradients))
        fault[...] = xp.where(finite | (fault != 0), fault, counter[1] + 1)
        losses[counter[1:2]] = value
        counter[0:1] = counter[1:2] + 1
        return fault

    def record_terms(self, terms: Array, values: Array, counter: Array) -> Array:
        """values[n] = terms, with n, the current step: the terms of the loss that layers added."""
        values[counter[1:2]] = terms
        return values

    def leave_out(self, state: Array, kept: Array, losses: Array, fault: Array, counter: Array) -> Array:
        """After a fault: state = kept, the current step's loss = NaN, and fault = 0 again."""
        xp = self.xp
        state[...] = xp.where(fault == 0, state, kept)
        losses[counter[1:2]] = xp.where(fault == 0, losses[counter[1:2]], math.nan)
        fault[...] = 0
        return fault


WRITE_NUMBERS = Elementwise(
    "write_numbers",
    inputs="T a, T b",
    outputs="T first, T second, raw int64 counter",
    body="first = a; second = b; counter[1] = 0;",
)
BEGIN_STEP = Elementwise("begin_step", inputs="int64 next", outputs="int64 now", body="now = next;")
# Several threads may write `fault`, but all write the same number.
RECORD_STEP = Flat(
    "record_step",
    inputs="T gradient",
    outputs="",
    more="const T* value, T* losses, long long* fault, long long* counter",
    body="const long long now = counter[1];"
    " if (!(isfinite(gradient) && isfinite(value[0])) && fault[0] == 0) fault[0] = now + 1;"
    " if (i == 0) { losses[now] = value[0]; counter[0] = now + 1; }",
)
RECORD_TERMS = Elementwise(
    "record_terms",
    inputs="T term, int64 width, raw int64 counter",
    outputs="raw T values",
    body="values[counter[1] * width + i] = term;",
)
LEAVE_OUT = Elementwise(
    "leave_out",
    inputs="T x, T nothing, raw int64 fault, raw int64 counter",
    outputs="T state, raw T losses",
    body="if (fault[0] != 0) { state = x; if (i == 0) losses[counter[1]] = nothing; }",
)
CLEAR = Elementwise("clear", inputs="int64 zero", outputs="int64 cell", body="cell = zero;")


class StepsCuPy(OnGpu, Steps):
    """Begin and end a step on the GPU, without temporary arrays."""

    def begin_step(self, counter: Array) -> None:
        """Use one launch."""
        with self._hold:
            BEGIN_STEP.kernel(counter[0:1], counter[1:2])

    def record_step(
        self, value: Array, losses: Array, gradients: Array, fault: Array, counter: Array
    ) -> Array:
        """Use one launch; the host reads `losses` and `fault` at the end of the epoch."""
        with self._hold:
            searched = gradients if gradients.size else value
            RECORD_STEP.launch((searched,), value, losses, fault, counter)
        return fault

    def record_terms(self, terms: Array, values: Array, counter: Array) -> Array:
        """Use one launch."""
        with self._hold:
            RECORD_TERMS.kernel(terms, terms.size, counter, values)
        return values

    def leave_out(self, state: Array, kept: Array, losses: Array, fault: Array, counter: Array) -> Array:
        """Use two launches; the host reads nothing."""
        with self._hold:
            if not state.size:  # then only the loss changes
                state = kept = self._buffer("no_state", 1, losses.dtype)[:1]
            LEAVE_OUT.kernel(kept, math.nan, fault, counter, state, losses)
            CLEAR.kernel(0, fault)
        return fault


def written(ops: OnGpu, dtype: Any, a: Number, b: Number) -> PerStep:
    """Return two numbers in device memory, written by a small kernel: for steps outside `fit`."""
    values, counter = ops._buffer("numbers", 2, dtype), ops._buffer("step of numbers", 2, "int64")
    WRITE_NUMBERS.kernel(a, b, values[0:1], values[1:2], counter)
    return PerStep(values, counter, 0)
