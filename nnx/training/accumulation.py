"""Compute the gradients of a step in pieces of its rows: `fit(accumulate=…)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.distributed import ALONE, Shard
from nnx.parameters import Arena

Compute = Callable[[Array, Array, Array | None, Array, Array | None, Shard], None]


class Pieces:
    """The pieces of a step's rows; their gradients are added, each with its share of the rows or weights.

    Σ_k share_k ∇L_k is the gradient of the mean loss of all rows of the step, and the dropout masks of a row
    depend on its place in the step. So a step of several pieces is that of one large batch, up to rounding,
    if no layer uses statistics of the rows (`BatchNorm` and a KL sparsity take those of each piece). The used
    rows of a sparse parameter are those of all pieces.

    Parameters
    ----------
    arena : Arena
    terms : int
        Number of terms that layers add to the loss.
    size : int
        Rows of a piece; the last piece of a step may have fewer.
    backward : callable
        ``backward(x, y, weights, slot, row, shard)`` writes a piece's loss into `slot`, the terms of the loss
        into `row`, and all its gradients.

    Attributes
    ----------
    searching : bool
        Whether to stop at the first piece with a value that is not finite, and leave its gradients.
    """

    def __init__(self, arena: Arena, size: int, backward: Compute, terms: int) -> None:
        self.arena, self.size, self.backward = arena, size, backward
        self.searching = False
        self._total = arena.backend.zeros(arena.gradients.size, arena.dtype)
        self._loss = arena.backend.zeros(1, arena.dtype)
        self._terms = arena.backend.zeros(terms, arena.dtype)
        self._shares_of: dict[str, Array] = {}

    def sizes(self, rows: int) -> list[int]:
        """Return the number of rows of each piece of a step."""
        return [min(self.size, rows - start) for start in range(0, rows, self.size)]

    def gradients(self, x: Array, y: Array, weights: Array | None, slot: Array, row: Array | None) -> None:
        """Write the loss and the gradients of a step, as one pass over all its rows would."""
        gradients, total, start = self.arena.gradients, self._total, 0
        sizes = self.sizes(x.shape[0])
        lazy = [used for used in self.arena.sparse.values() if used.lazy]
        used_rows: list[list[Array]] = [[] for _ in lazy]
        with self.arena.backend.hold():
            sums = [(self._loss, slot), (gradients, total)]
            sums += [] if row is None else [(self._terms, row)]
            for _, whole in sums:
                whole[...] = 0.0
            for rows, share in zip(sizes, self._shares(sizes, weights), strict=True):
                piece = slice(start, start + rows)
                shard = Shard(start, start + rows, rows, rows, ALONE)
                own = None if weights is None else weights[piece]
                terms = None if row is None else self._terms
                self.backward(x[piece], y[piece], own, self._loss, terms, shard)
                if self.searching and self._faulty():
                    slot[...] = self._loss
                    return
                for used, found in zip(lazy, used_rows, strict=True):
                    found.append(None if used.rows is None else used.rows.copy())
                for part, whole in sums:
                    part *= share if weights is None else share[0]
                    whole += part
                start += rows
            gradients[...] = total
            self.arena.sparse.forget()  # the sum has more used rows than the last piece
            for used, found in zip(lazy, used_rows, strict=True):
                used.use(self._each_once(found))

    def _shares(self, sizes: list[int], weights: Array | None) -> list[Any]:
        """Return each piece's share of the step, of its rows or of their weights, without reading any."""
        if weights is None:
            return [rows / sum(sizes) for rows in sizes]
        backend, start, found = self.arena.backend, 0, []
        of_rows, of_pieces = self._room("rows", sum(sizes)), self._room("pieces", len(sizes))
        backend.row_shares(of_rows, weights)
        for place, rows in enumerate(sizes):
            share = of_pieces[place : place + 1]
            backend.axis_sums(of_rows[start : start + rows].reshape(1, rows, 1), share)
            found.append(share)
            start += rows
        return found

    def _room(self, name: str, size: int) -> Array:
        """Return memory for shares, of shape (size, 1), which is the same in each step."""
        if name not in self._shares_of or len(self._shares_of[name]) < size:
            self._shares_of[name] = self.arena.backend.empty((size, 1), self.arena.dtype)
        return self._shares_of[name][:size]

    def _each_once(self, found: list[Array]) -> Array | None:
        """Return the rows that pieces used, each once, and −1 in the other places; None if not all are known.

        No place is left out, because a GPU would have to wait to know how many there are.
        """
        if any(rows is None for rows in found):
            return None
        xp = self.arena.backend.xp
        rows = xp.sort(xp.concatenate(found))
        rows[1:] = xp.where(rows[1:] == rows[:-1], -1, rows[1:])
        return rows

    def _faulty(self) -> bool:
        to_numpy = self.arena.backend.to_numpy
        found = (to_numpy(self._loss), to_numpy(self.arena.gradients))
        return not all(np.isfinite(values).all() for values in found)
