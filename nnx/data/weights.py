"""Check weights of rows, and compute weights that balance classes."""

from __future__ import annotations

import numpy as np

from nnx.data.rows import HostArray
from nnx.errors import DataError


def refuse_unusable(weights: HostArray) -> None:
    """Check weights of rows.

    Raises
    ------
    DataError
        If a weight is negative, or all are 0.
    """
    if weights.min() < 0.0 or not weights.any():
        raise DataError("sample_weight must not hold negative numbers, and at least one must be above 0")


def balanced(totals: HostArray, classes: int) -> HostArray:
    """Return W / (classes · W_k) for each class k, where W_k is its weight in `totals`, and W their sum.

    With these factors, all classes have the same total weight. The factor of a class of weight 0 is 1.
    """
    factors = np.ones(len(totals))
    there = totals > 0.0
    factors[there] = totals.sum() / (classes * totals[there])
    return factors
