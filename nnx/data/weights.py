"""Weights of rows: which can be used, and those by which classes of any size count the same."""

from __future__ import annotations

import numpy as np

from nnx.data.rows import HostArray
from nnx.errors import DataError


def refuse_unusable(weights: HostArray) -> None:
    """See that no weight is negative, and not all are 0.

    Raises
    ------
    DataError
        If it is so.
    """
    if weights.min() < 0.0 or not weights.any():
        raise DataError("sample_weight must not be negative, nor zero everywhere")


def balanced(totals: HostArray, classes: int) -> HostArray:
    """Return W / (classes · W_k) for each class k, with W_k its weight in `totals` and W their sum.

    So each class has the same weight in all. The factor of a class without any weight is 1.
    """
    factors = np.ones(len(totals))
    there = totals > 0.0
    factors[there] = totals.sum() / (classes * totals[there])
    return factors
