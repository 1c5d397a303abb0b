"""Choose which rows and columns of an array a page of text shows: all, or some around the chosen ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nnx.tracing.result import HostArray

ROWS, FEW = 8, 4  # all rows are shown if there are up to 8, else 4 of them


def some_rows(size: int, chosen: int) -> list[int]:
    """Return the rows of a table to show."""
    return window(size, [chosen], ROWS if size <= ROWS else FEW)


def window(size: int, chosen: Iterable[int], most: int) -> list[int]:
    """Return up to `most` of the numbers 0 to size − 1 in order: the chosen ones, and the first others."""
    kept = [place for place in dict.fromkeys(chosen) if 0 <= place < size][:most]
    others = (place for place in range(size) if place not in kept)
    return sorted([*kept, *(place for place, _ in zip(others, range(most - len(kept)), strict=False))])


def flat(array: HostArray) -> HostArray:
    """Return an array as rows of numbers."""
    return array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(-1, 1)


def shares(sizes: Sequence[int], most: int) -> list[int]:
    """Divide the columns of a page among arrays: small arrays get all of theirs, large ones what is left."""
    given = [0] * len(sizes)
    left = most
    for place in sorted(range(len(sizes)), key=lambda one: sizes[one]):
        waiting = sum(1 for one in given if not one)
        given[place] = min(sizes[place], max(1, left // waiting))
        left -= given[place]
    return given
