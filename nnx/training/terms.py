"""The terms that layers add to the loss, for each batch of an epoch: their sums, and their means by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.data.batches import Batches
from nnx.data.rows import HostArray
from nnx.layers.base import walk
from nnx.layers.plan import Plan
from nnx.layers.terms import names_of
from nnx.training.run import Run


class TermsOfBatches:
    """The terms of the batches of the current epoch, on the network's device.

    Parameters
    ----------
    network : Network
    batches : int
        Number of batches in an epoch.

    Attributes
    ----------
    names : tuple of str
        The names of the terms; layers with terms of one name share it. Empty for most networks.
    values : array of shape (batches, names)
    """

    def __init__(self, network: Any, batches: int) -> None:
        arena = network.arena
        self.names = names_of(walk(network.layers))
        self.values = arena.backend.zeros((batches, len(self.names)), arena.dtype)

    def add(self, plan: Plan, slot: Array, row: Array) -> None:
        """Add the terms of a pass to the loss in `slot`, and write them into `row` of shape (names,)."""
        row[...] = 0.0
        for layer, value in plan.terms():
            place = self.names.index(layer.term)
            row[place : place + 1] += value
            slot += value

    def record(self, run: Run, values: HostArray, losses: HostArray, batches: Batches) -> None:
        """Record the means over the epoch; the losses of batches that were skipped are NaN."""
        counted = ~np.isnan(losses)
        for name, column in zip(self.names, values.T, strict=True):
            run.history.metrics.setdefault(name, []).append(batches.mean_of(column, counted))
