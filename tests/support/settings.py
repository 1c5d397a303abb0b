"""Numbers as the libraries of users give them."""

from __future__ import annotations

import decimal
import fractions

import numpy as np


class Scalar:
    """What a scalar of PyTorch looks like: `__index__` and `__float__` are there, whatever it holds."""

    ndim = 0

    def __init__(self, value, dtype):
        self.value, self.dtype = value, dtype

    def __repr__(self):  # part of a test's name, which must be the same in every process
        return f"Scalar({self.value!r}, {self.dtype})"

    def __index__(self):
        if not isinstance(self.value, int):
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return self.value

    def __float__(self):
        return float(self.value)

    def __bool__(self):
        return bool(self.value)

    def __eq__(self, other):
        return self.value == other

    __hash__ = None

    def item(self):
        return self.value


NUMBERS = [
    0.25, np.float32(0.25), np.float64(0.25), np.array(0.25), Scalar(0.25, "torch.float32"),
    fractions.Fraction(1, 4), decimal.Decimal("0.25"),
]  # fmt: skip
