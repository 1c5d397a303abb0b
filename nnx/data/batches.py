"""Divide rows into batches: the order of an epoch, its batches, and each rank's rows of a batch."""

from __future__ import annotations

import numpy as np

from nnx import initializers
from nnx.data.rows import HostArray
from nnx.data.samples import Samples
from nnx.distributed import Communicator


class Batches:
    """The batches of an epoch, and each rank's rows of them.

    Parameters
    ----------
    samples : Samples
    size : int
        Number of rows in a batch; the last batch may have fewer.
    communicator : Communicator
    shuffle : bool
        Whether each epoch has another, random order.
    mix_one : bool
        Whether to shuffle even if one batch holds all rows.

    Attributes
    ----------
    bounds : list of (int, int)
        Start and stop of each batch, as positions in the order of an epoch.
    shards : list of Shard
        This rank's rows of each batch.
    own : list of slice
        Positions of these rows in the order of an epoch.
    most : int
        The largest number of rows that this rank has of a batch.
    """

    def __init__(
        self, samples: Samples, size: int, communicator: Communicator, shuffle: bool, mix_one: bool
    ) -> None:
        self.rows, self.blocks, self.weights = len(samples), samples.blocks, samples.weights
        self.bounds = [(start, min(start + size, self.rows)) for start in range(0, self.rows, size)]
        self.shards = [communicator.shard(stop - start) for start, stop in self.bounds]
        self.own = [
            slice(start + shard.start, start + shard.stop)
            for (start, _), shard in zip(self.bounds, self.shards, strict=True)
        ]
        self.most = max(shard.stop - shard.start for shard in self.shards)
        self.as_they_are = len(self.bounds) == 1 and not mix_one
        self.shuffle = shuffle and not self.as_they_are
        self.shares, self.own_shares = self._shares(None)

    def __len__(self) -> int:
        return len(self.bounds)

    def order(self, seed: int, step: int) -> HostArray | None:
        """Return the row numbers of the epoch that starts at this step; None if one batch holds all rows.

        This also sets `shares` and `own_shares` for this order.
        """
        if self.as_they_are:
            return None
        if not self.shuffle:
            return np.arange(self.rows)
        order = epoch_order(seed, step, *self.blocks)
        if self.weights is not None:
            self.shares, self.own_shares = self._shares(order)
        return order

    def orders(self, seed: int, step: int, epochs: int) -> HostArray:
        """Return the orders of several epochs, of shape (epochs, rows), or (1, rows) if all are the same."""
        if not self.shuffle:
            return np.arange(self.rows)[None]
        steps = (step + epoch * len(self) for epoch in range(epochs))
        return np.stack([epoch_order(seed, first, *self.blocks) for first in steps])

    def _shares(self, order: HostArray | None) -> tuple[HostArray, list[float]]:
        """Return each batch's share of the epoch, and this rank's share of each batch.

        These are shares of the number of rows or, if rows have weights, of the sum of weights.
        """
        weights = np.ones(self.rows) if self.weights is None else self.weights.astype(np.float64)
        if order is not None:
            weights = weights[order]
        sums = np.add.reduceat(weights, [start for start, _ in self.bounds])
        own = [
            weights[start + shard.start : start + shard.start + shard.rows].sum()
            for (start, _), shard in zip(self.bounds, self.shards, strict=True)
        ]
        return sums / sums.sum(), (own / np.where(sums > 0.0, sums, 1.0)).tolist()

    def mean(self, losses: HostArray) -> float:
        """Return an epoch's mean loss from the losses of its batches."""
        if len(losses) == 1:
            return float(losses[0])
        return float(np.dot(losses.astype(np.float64), self.shares))

    def mean_of(self, values: HostArray, counted: HostArray) -> float:
        """Return the mean of a value of each batch over the batches that count (bool, shape (batches,))."""
        shares = self.shares[counted]
        return float(np.dot(values[counted].astype(np.float64), shares) / shares.sum())

    def means(self, losses: HostArray) -> list[float]:
        """Return the loss of each epoch, from losses of shape (epochs, batches)."""
        if losses.shape[1] == 1:
            means: list[float] = losses[:, 0].tolist()
            return means
        return [self.mean(epoch) for epoch in losses]


def epoch_order(seed: int, step: int, *blocks: int) -> HostArray:
    """Return the order in which an epoch visits its rows.

    It depends only on the seed and the number of earlier steps, so a resumed run has the same orders as an
    uninterrupted one. If there are several blocks, their order is random, and rows are shuffled within each.

    Parameters
    ----------
    seed, step : int
    *blocks : int
        Number of rows in each block.
    """
    generator = initializers.generator(seed, "shuffles", step)
    if len(blocks) == 1:
        return generator.permutation(blocks[0])
    begins = np.cumsum([0, *blocks])
    chosen = generator.permutation(len(blocks))
    return np.concatenate([begins[number] + generator.permutation(blocks[number]) for number in chosen])
