"""Compiled forms of embedding.py."""

from __future__ import annotations

from nnx.ops.base import Array
from nnx.ops.base_numba import SMALL_ARRAY, Compiled, inner, numbers, team, usual
from nnx.ops.embedding import EmbeddingNumPy, block_of, position_bits
from nnx.ops.share_numba import share


@inner
def sum_runs(places: Array, keys: Array, dy: Array, rows: Array, sums: Array, bits: int, block: int) -> None:
    """Sum each run that begins at one of `places`, up to its end, which may lie after them.

    A block of a long run is summed in the place where it begins, which is 0 in the end.
    """
    mask = (1 << bits) - 1
    for place in places:
        row = keys[place] >> bits
        if place > 0 and keys[place - 1] >> bits == row:
            continue
        rows[place] = row
        total, some = sums[place], sums[place]
        origin = dy[keys[place] & mask]
        for j in range(total.size):
            total[j] = origin[j]
        begin, p = place, place + 1
        while p < keys.size and keys[p] >> bits == row:
            origin, rows[p] = dy[keys[p] & mask], -1
            if p % block == 0:
                if begin != place:
                    for j in range(total.size):
                        total[j] += some[j]
                        some[j] = 0
                begin, some = p, sums[p]
                for j in range(total.size):
                    some[j] = origin[j]
            else:
                for j in range(total.size):
                    some[j] += origin[j]
                rest = sums[p]
                for j in range(rest.size):
                    rest[j] = 0
            p += 1
        if begin != place:
            for j in range(total.size):
                total[j] += some[j]
                some[j] = 0


@team
def team_sum_runs(
    places: Array, keys: Array, dy: Array, rows: Array, sums: Array, bits: int, block: int, segments: int
) -> None:
    """Sum the runs that begin in each segment of the places in parallel."""
    share(sum_runs, (places,), (keys, dy, rows, sums, bits, block), segments)


@inner
def take(rows: Array, out: Array, source: Array) -> None:
    """out[i] = source[rows[i]], or 0 where rows[i] = −1."""
    for i in range(rows.size):
        target = out[i]
        if rows[i] < 0:
            for j in range(target.size):
                target[j] = 0
        else:
            origin = source[rows[i]]
            for j in range(target.size):
                target[j] = origin[j]


@team
def team_take(source: Array, rows: Array, out: Array, segments: int) -> None:
    """Take the rows of each segment in parallel."""
    share(take, (rows, out), (source,), segments)


@inner
def put(rows: Array, values: Array, target: Array) -> None:
    """target[rows[i]] = values[i] where rows[i] ≥ 0."""
    for i in range(rows.size):
        if rows[i] >= 0:
            goal, origin = target[rows[i]], values[i]
            for j in range(goal.size):
                goal[j] = origin[j]


@team
def team_put(target: Array, rows: Array, values: Array, segments: int) -> None:
    """Write the rows of each segment in parallel."""
    share(put, (rows, values), (target,), segments)


@inner
def clear(rows: Array, target: Array) -> None:
    """target[rows[i]] = 0 where rows[i] ≥ 0."""
    for i in range(rows.size):
        if rows[i] >= 0:
            goal = target[rows[i]]
            for j in range(goal.size):
                goal[j] = 0


@team
def team_clear(target: Array, rows: Array, segments: int) -> None:
    """Clear the rows of each segment in parallel."""
    share(clear, (rows,), (target,), segments)


class EmbeddingNumba(Compiled, EmbeddingNumPy):
    """Sum runs and copy rows with all threads; see benchmarks/embedding.py."""

    def embedding_backward(self, dy: Array, x: Array, rows: Array, sums: Array) -> Array:
        """Sort as on NumPy; then each thread sums the runs that begin in its segment of the places."""
        if not (usual(dy, sums) and rows.flags.carray):
            return super().embedding_backward(dy, x, rows, sums)
        places, bits, block = numbers(x.size), position_bits(x.size), block_of(x.size)
        team_sum_runs(places, self._sorted(x), dy, rows, sums, bits, block, self._shared(rows, dy))
        return rows

    def take_rows(self, source: Array, rows: Array, out: Array) -> Array:
        """Take rows with all threads."""
        if not usual(out, source):
            return super().take_rows(source, rows, out)
        team_take(source, rows, out, self._shared(rows, out))
        return out

    def put_rows(self, target: Array, rows: Array, values: Array | None) -> Array:
        """Write rows with all threads."""
        if not usual(target, values):
            return super().put_rows(target, rows, values)
        segments = self._shared(rows, target)
        if values is None:
            team_clear(target, rows, segments)
        else:
            team_put(target, rows, values, segments)
        return target

    def _shared(self, rows: Array, like: Array) -> int:
        """Return the number of segments for these rows of `like`."""
        return self._segments(rows.size) if rows.size * like.shape[1] >= SMALL_ARRAY else 1
