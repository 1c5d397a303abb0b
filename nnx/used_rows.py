"""Rows that a step used: training then touches only these rows of a large table, and not the whole table.

A table is *lazy* if the user asked for that, with ``sparse=True``: optimizers then update its used rows by
their usual rule, and no others. The first dense layer of a network that trains on sparse rows has such a
table too, without being asked. It is not lazy: an optimizer skips the unused rows only if its rule leaves a
row unchanged where the gradient is 0. So the numbers are those of dense rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nnx.backends import Array, Backend

VIEWS = 64  # so many views of its memory are kept for later batches


class UsedRows:
    """The rows of a parameter that the last backward pass used, and their gradients.

    The parameter's whole gradient stays right: in all other rows it is 0. A pass first clears the rows of the
    pass before.

    Parameters
    ----------
    backend : Backend
    values, gradients : array of shape (rows, columns)
        The parameter and its gradient, as views.
    flags : array of shape (rows,), optional
        Memory in which ranks count how many of them used a row. None: with several ranks, no row is known.
    lazy : bool
        Whether optimizers update the used rows only, whatever their rule.

    Attributes
    ----------
    rows : int64 array of shape (n,), or None
        Each used row once, and −1 in the other places; n depends on the batch only. None: not known, before
        the first pass.
    sums : array of shape (n, columns)
        The gradients of these rows; 0 where `rows` is −1.
    cleared : int64 array
        The rows whose gradients the next pass sets to 0: `rows`, or with those of earlier and larger batches.
        So batches of all sizes have the same launches, which can be recorded on a GPU.
    extent : int
        How many numbers of the buffers the parameter takes.
    shown : bool
        Whether a user got the gradient after the pass, and may have changed it.
    """

    def __init__(
        self, backend: Backend, values: Array, gradients: Array, flags: Array | None, lazy: bool = True
    ) -> None:  # fmt: skip
        self.backend, self.values, self.gradients, self.flags = backend, values, gradients, flags
        self.lazy, self.extent = lazy, values.size
        self.rows: Array = None
        self.sums: Array = None
        self.cleared: Array = None
        self.shown = False
        self._kept: dict[Any, Array] = {}

    def forget(self) -> None:
        """Let the next pass clear the whole gradient, because something else wrote to it."""
        self.rows = self.sums = None

    def __deepcopy__(self, memo: dict[int, Any]) -> UsedRows:
        """Return this object: a copied layer gets another one when it is built."""
        return self

    def moved(self, old: UsedRows, move: Callable[[Array], Array]) -> None:
        """Take the rows of the same parameter on another device."""
        if old.rows is not None:
            self._know(move(old.rows), move(old.sums), old.shown)

    def backward(self, dy: Array, x: Array) -> None:
        """Write the gradient of a lookup, for each row Σ dy[i] over the positions i with x[i] = row."""
        columns = self.values.shape[1]
        self._clear()
        rows, sums = self._room("rows", (x.size,), "int64"), self._room("sums", (x.size, columns))
        self.backend.embedding_backward(dy, x, rows, sums)
        self._set(rows, sums)
        self.cleared = self._kept["rows"]

    def room_for(self, count: int) -> Array:
        """Return memory for the gradients of so many rows, which `take_gradient` gets next."""
        self._clear()
        return self._room("sums", (count, self.values.shape[1]))

    def take_gradient(self, rows: Array, sums: Array) -> None:
        """Take the gradients of the used rows, in memory from `room_for`, as those of the pass."""
        self._set(rows, sums)

    def use_all(self) -> None:
        """Count all rows as used: a pass has just written the whole gradient."""
        count, columns = self.values.shape
        self.forget()
        if "all rows" not in self._kept:
            self._kept["all rows"] = self.backend.xp.arange(count, dtype="int64")
        rows, sums = self._kept["all rows"], self._room("sums", (count, columns))
        sums[...] = self.gradients
        self._know(rows, sums)

    def use(self, rows: Array) -> None:
        """Take these rows as used, None as not known, because their gradients were written back."""
        self.forget()
        if rows is not None:
            sums = self._room("sums", (rows.size, self.values.shape[1]))
            self._know(rows, sums, shown=True)
            self.read_gradient()

    def _clear(self) -> None:
        """Set the gradients of the pass before to 0."""
        if self.rows is None:
            self.gradients[...] = 0.0
        else:
            self.backend.put_rows(self.gradients, self.cleared, None)
        self.forget()  # if an interrupt ends this pass, the next one clears everything

    def _set(self, rows: Array, sums: Array) -> None:
        self.backend.put_rows(self.gradients, rows, sums)
        self._know(rows, sums)

    def _know(self, rows: Array, sums: Array, shown: bool = False) -> None:
        self.rows, self.sums, self.cleared, self.shown = rows, sums, rows, shown

    def read_gradient(self) -> None:
        """Take `sums` from the whole gradient again, if a user may have changed it."""
        if self.shown and self.rows is not None:
            self.backend.take_rows(self.gradients, self.rows, self.sums)

    def write_gradient(self) -> None:
        """Write `sums` into the whole gradient, after they were clipped."""
        self.backend.put_rows(self.gradients, self.rows, self.sums)

    def take(self, whole: Array, name: str) -> Array:
        """Return a copy of the used rows of a table as a flat array: of the values, or of a slot."""
        out = self._room(name, self.sums.shape)
        self.backend.take_rows(whole.reshape(self.values.shape), self.rows, out)
        return out.reshape(-1)

    def put(self, whole: Array, used: Array) -> None:
        """Write what `take` returned back to its rows."""
        self.backend.put_rows(whole.reshape(self.values.shape), self.rows, used.reshape(self.sums.shape))

    # ------------------------------------------------------------------ ranks

    def mark(self) -> None:
        """Set the flags of the rows that this rank used to 1, and all others to 0."""
        if self.flags is None:
            return
        self.flags[...] = 0.0
        if self.rows is not None:
            ones = self._room("ones", (self.rows.size, 1))
            ones[...] = 1.0
            self.backend.put_rows(self.flags.reshape(-1, 1), self.rows, ones)

    def unite(self) -> None:
        """Take the rows that any rank used, after gradients and flags were summed over the ranks.

        Which rows these are is known on the device only, so the arrays get as many places as the table has
        rows.
        """
        if self.flags is None:
            self.forget()
            return
        xp, (count, columns) = self.backend.xp, self.values.shape
        rows, sums = self._room("rows", (count,), "int64"), self._room("sums", (count, columns))
        rows[...] = xp.where(self.flags > 0.0, xp.arange(count), -1)
        self.backend.take_rows(self.gradients, rows, sums)
        self._know(rows, sums, self.shown)

    # ---------------------------------------------------------- recorded steps

    def state(self) -> tuple[Array, Array, Array]:
        """Return the arrays that a pass has changed here, for `replayed`."""
        return self.rows, self.sums, self.cleared

    def replayed(self, state: tuple[Array, Array, Array]) -> None:
        """Set the arrays that `state` returned: a replayed step does not run the code that sets them."""
        self.rows, self.sums, self.cleared = state
        self.shown = False

    def memory(self) -> list[Array]:
        """Return all arrays that a pass or an optimizer uses."""
        return list(self._kept.values())

    def _room(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Array:
        """Return an array with a name; a smaller batch gets the first rows of the same memory."""
        view = self._kept.get((name, shape))
        if view is None:
            if len(self._kept) > VIEWS:  # ever new numbers of rows must not fill memory
                self._kept = {key: kept for key, kept in self._kept.items() if isinstance(key, str)}
            whole = self._kept.get(name)
            if whole is None or len(whole) < shape[0]:
                self._kept = {key: kept for key, kept in self._kept.items() if key[0] != name}
                whole = self._kept[name] = self.backend.empty(shape, dtype or self.values.dtype)
                if name == "rows":
                    whole[...] = -1
            view = self._kept[name, shape] = whole[: shape[0]]
        return view


class SparseParameters(dict[int, UsedRows]):
    """The sparse parameters of an arena, in order, by the place where each begins in the buffers."""

    def forget(self) -> None:
        """Let the next backward pass clear the whole gradients: something else wrote to them."""
        for used in self.values():
            used.forget()

    def used(self) -> list[Array]:
        """Return a copy of the used rows of each parameter, for `use`."""
        return [None if one.rows is None else one.rows.copy() for one in self.values()]

    def use(self, rows: list[Array]) -> None:
        """Take the rows that `used` returned as used, after the whole gradients were written back."""
        for one, own in zip(self.values(), rows, strict=True):
            one.use(own)

    def show(self) -> None:
        """Remember that a user now gets the whole gradients, and may change them before the next step."""
        for used in self.values():
            used.shown = True

    def state(self) -> list[tuple[Array, Array, Array]]:
        """Return the state of each parameter, see `UsedRows.state`."""
        return [used.state() for used in self.values()]

    def clears_as(self, state: list[tuple[Array, Array, Array]]) -> bool:
        """Return whether the next pass clears the same rows as it did when `state` was returned."""
        found = [used.cleared if used.rows is not None else None for used in self.values()]
        return len(found) == len(state) and all(
            cleared is not None and cleared is one[2] for cleared, one in zip(found, state, strict=True)
        )

    def replayed(self, state: list[tuple[Array, Array, Array]]) -> None:
        """Take the state after a step that was replayed."""
        for used, own in zip(self.values(), state, strict=True):
            used.replayed(own)

    def moved(self, old: SparseParameters, move: Callable[[Array], Array]) -> None:
        """Take the rows that were used from another device."""
        for begin, used in self.items():
            used.moved(old[begin], move)

    def parts(self, gradients: Array) -> Iterator[Array]:
        """Yield flat arrays with all gradients of an arena that can differ from zero."""
        start = 0
        for begin, used in self.items():
            if used.rows is not None:
                yield gradients[start:begin]
                yield used.sums.reshape(-1)
                start = begin + used.values.size
        yield gradients[start:]

    def apart(self, span: slice) -> Iterator[tuple[slice, UsedRows | None]]:
        """Yield the sparse parameters in a span, each as a span, and the spans between them."""
        start = span.start
        for begin, used in self.items():
            if not span.start <= begin < span.stop:
                continue
            if begin > start:
                yield slice(start, begin), None
            yield slice(begin, begin + used.values.size), used
            start = begin + used.extent
        if span.stop > start:
            yield slice(start, span.stop), None


def of_table(arena: Any, values: Array, gradients: Array, make: bool) -> UsedRows | None:
    """Return the used rows of a table that is not lazy; None if they are not known and `make` is False.

    If the arena moves to another device, they are forgotten.
    """
    begin = arena.place(values)
    if make and begin not in arena.sparse:
        used = UsedRows(arena.backend, values, gradients, None, lazy=False)
        arena.sparse = SparseParameters(sorted({**arena.sparse, begin: used}.items()))
        arena.trainable_changed()
    found: UsedRows | None = arena.sparse.get(begin)
    return found
