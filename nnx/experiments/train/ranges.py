"""The range of the training data: stored with the model, and compared with new data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.data.rows import HostArray
from nnx.experiments.train.scaling import (
    BYTES,
    MAX_SCALED,
    called,
    check_finite_columns,
    extent,
    parts,
    width,
)


@dataclass(frozen=True, eq=False)
class Range:
    """The smallest and the largest value of each input in the rows a network was trained on.

    Attributes
    ----------
    low, high : array of the shape of a row, or of shape (1,) if one range holds for all inputs
        float64, finite.
    pixels : bool
        Whether the inputs were pixels in [0, 1], which files may hold as 0 to 255.
    """

    low: HostArray
    high: HostArray
    pixels: bool = False

    @classmethod
    def of(cls, x: HostArray, rows: HostArray | None = None, weights: HostArray | None = None) -> Range:
        """Return the range of some rows of x; for bytes always 0 to 255.

        Raises
        ------
        DataError
            If a value is not finite.
        """
        if x.dtype == np.uint8:
            return cls(np.zeros(1), np.full(1, BYTES))
        low, high = extent(x, rows, weights)
        check_finite_columns(x, rows, low, high)
        if width(x) <= MAX_SCALED:
            return cls(low, high)
        return cls(low.min().reshape(1), high.max().reshape(1))

    @classmethod
    def of_pixels(cls) -> Range:
        """Return the range of images whose bytes were divided by 255."""
        return cls(np.zeros(1), np.ones(1), pixels=True)

    def to_metadata(self) -> dict[str, Any]:
        """Return what a model file stores."""
        return {"low": self.low.tolist(), "high": self.high.tolist(), "pixels": self.pixels}

    @classmethod
    def from_metadata(cls, kept: Any, shape: tuple[int, ...]) -> Range:
        """Read back what `to_metadata` returned.

        Raises
        ------
        ValueError, TypeError, LookupError
            If it is something else.
        """
        low, high = (np.array(kept[name], np.float64) for name in ("low", "high"))
        if low.shape != high.shape or low.shape not in ((1,), shape):
            raise ValueError("a range that does not fit")
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
            raise ValueError("a range that is none")
        return cls(low, high, kept["pixels"] is True)


_SMALL = 1 / 90  # of the largest values: per cent taken for shares, pixels divided by 255 twice
_FEW = 8  # numbers, which may all be small by chance


class Watch:
    """Look for values far outside of a range, or all in a tiny part of it, block by block.

    Far is further than the range is wide; of an input that had one value alone, further than that value is
    from 0, and than 1.

    Parameters
    ----------
    known : Range
    names : sequence of str, optional
        Of the inputs.
    """

    def __init__(self, known: Range, names: Sequence[str] = ()) -> None:
        self.known, self.names = known, names
        with np.errstate(over="ignore"):
            spread = known.high - known.low
        self.margin: HostArray = np.where(spread > 0.0, spread, np.maximum(np.abs(known.low), 1.0))
        self.rows = self.far = 0
        self.low: Any = np.inf
        self.high: Any = -np.inf

    def see(self, x: HostArray) -> None:
        """Look at some rows."""
        with np.errstate(over="ignore"):
            lowest, highest = self.known.low - self.margin, self.known.high + self.margin
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        if (low < lowest).any() or (high > highest).any():
            self.far += int(((x < lowest) | (x > highest)).reshape(len(x), -1).any(axis=1).sum())
        self.rows += len(x)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)

    def note(self) -> str | None:
        """Return one line about values far outside, or much too small; None if there are none."""
        if not self.far:
            return self._small()
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = np.maximum(self.known.low - self.low, self.high - self.known.high) / self.margin
        worst, common = int(np.argmax(beyond)), self.known.low.size == 1
        low, high = (float(limit.flat[0 if common else worst]) for limit in (self.known.low, self.known.high))
        column = "values" if common else called(worst, beyond.shape, self.names)
        more = 0 if common else int((beyond > 1.0).sum()) - 1
        return (
            f"{self.far:,} of {self.rows:,} rows are far outside of what the network was trained on: "
            f"{column} from {self.low.flat[worst]:.6g} to {self.high.flat[worst]:.6g}, "
            f"in training from {low:.6g} to {high:.6g}"
            f"{f' (and {more:,} more columns)' if more else ''}; check the units and the columns"
        )

    def _small(self) -> str | None:
        """Return one line if no input comes near its largest value in training."""
        largest = np.maximum(np.abs(self.known.low), np.abs(self.known.high))
        seen = np.maximum(np.abs(self.low), np.abs(self.high))
        seen, largest = np.broadcast_arrays(seen, largest)
        if self.rows * np.count_nonzero(seen) < _FEW:
            return None
        share = float(np.max(seen[largest > 0.0] / largest[largest > 0.0], initial=0.0))
        if not 0.0 < share < _SMALL:
            return None
        return (
            f"no value is more than {share:.2g} of the largest that the network was trained on: check the "
            "units and the scale"
        )


def are_bytes(x: HostArray, least: int) -> bool:
    """Return whether numbers are whole, from 0 to 255, and the largest is at least `least`."""
    if not (x.size and x.min() >= 0 and least <= x.max() <= BYTES):
        return False
    if x.dtype.kind in "iub":
        return True
    return all(bool((x[part] == np.floor(x[part])).all()) for part in parts(len(x), width(x)))
