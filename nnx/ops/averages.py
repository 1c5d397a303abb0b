"""The running average of parameters, for `fit(average=…)`."""

from __future__ import annotations

import numpy as np

from nnx.ops.base import Array, InPlace, OnGpu, Operations
from nnx.ops.cuda import Flat
from nnx.ops.updates import CHUNK


class Averages(Operations):
    """The running average in the plain form."""

    def average_step(self, average: Array, values: Array, share: float) -> Array:
        """a = a + share · (w − a), in place; a value that never changes keeps all its bits."""
        average += (values - average) * share
        return average


class AveragesNumPy(InPlace, Averages):
    """The running average in place."""

    def average_step(self, average: Array, values: Array, share: float) -> Array:
        """Update chunk by chunk, so that differences stay in the caches."""
        for start in range(0, values.size, CHUNK):
            part = slice(start, start + CHUNK)
            difference = self._scratch(values[part].shape, values.dtype)
            np.subtract(values[part], average[part], out=difference)
            difference *= share
            average[part] += difference
        return average


AVERAGE = Flat("average", "T value", "T average", "T share", "average += share * (value - average);")


class AveragesCuPy(OnGpu, Averages):
    """The running average on the GPU."""

    def average_step(self, average: Array, values: Array, share: float) -> Array:
        """Update with one launch."""
        with self._hold:
            AVERAGE.launch((values, average), share)
        return average
