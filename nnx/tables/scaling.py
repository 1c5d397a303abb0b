"""Robust scaling with smooth clipping, as RealMLP does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnx.errors import DataError, shown
from nnx.readers.types import Array

_LIMIT = 3.0  # smooth clipping stays between -3 and 3
_ROUNDING = 1e-12  # a spread of this share of the values may come from rounding
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Robust:
    """Center and factor of a column: z = factor · (x − center)."""

    center: float
    factor: float

    def apply(self, cells: Array, clip: bool = True) -> Array:
        """Return the scaled cells as float64, 0 (the median) where a cell is NaN.

        With `clip`, z becomes z / √(1 + (z/3)²): nearly z around 0, never beyond ±3.
        """
        with np.errstate(over="ignore"):
            z = self.factor * (np.where(np.isnan(cells), self.center, cells) - self.center)
        if not clip:
            return z
        z = np.clip(z, -1e300, 1e300)
        return z / np.hypot(1.0, z / _LIMIT)

    def config(self) -> list[float]:
        """Return what a record stores."""
        return [self.center, self.factor]


def robust(cells: Array, weights: Array | None, name: str) -> Robust:
    """Return the median as center, and 1 / (q₀.₇₅ − q₀.₂₅) as factor.

    If these quartiles are equal, the factor is 2 / (max − min), and 0 for a constant column. A cell of weight
    w counts as w cells; NaN does not count. The quantiles are cells of the column, never between two.

    Source: D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by default: Strong pre-tuned MLPs and boosted
    trees on tabular data", 2024, arXiv:2407.04491, section 3 (robust scaling and smooth clipping).

    Raises
    ------
    DataError
        If the range of the numbers is beyond float64.
    """
    there = ~np.isnan(cells)
    if not there.any():
        return Robust(0.0, 0.0)
    counts = None if weights is None else weights[there]
    low, lower, center, upper, high = (
        float(q) for q in np.quantile(cells[there], _QUANTILES, method="inverted_cdf", weights=counts)
    )
    with np.errstate(over="ignore"):
        spread, width = upper - lower, high - low
    if not np.isfinite(width):
        raise DataError(f"column {shown(name)} holds numbers that are too large to scale: leave it out")
    least = _ROUNDING * max(abs(low), abs(high))
    with np.errstate(over="ignore"):
        factor = 1.0 / spread if spread > least else 2.0 / width if width > least else 0.0
    if not np.isfinite(factor):
        raise DataError(f"column {shown(name)} holds numbers that are too close to scale: leave it out")
    return Robust(center, factor)
