"""Integers that a network takes: which layers read them, and which numbers these layers accept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnx.backends import Array, Backend, host
from nnx.errors import DataError

if TYPE_CHECKING:
    from nnx.layers.base import Layer


@dataclass(frozen=True)
class Limits:
    """The integers that a network takes: from 0 to `limit` − 1, or any if `limit` is None.

    Attributes
    ----------
    layer : str
        The layer with the smallest limit.
    limit : int or None
    """

    layer: str
    limit: int | None

    def check(self, x: Array, what: str, numbers: Any = None, backend: Backend | None = None) -> None:
        """Check an array of shape (rows, …) with one read of its smallest and its largest number.

        Parameters
        ----------
        what : str
            What the error calls the array.
        numbers : sequence of int, optional
            The numbers of the rows, for the error; 0, 1, … by default.
        backend : Backend, optional
            The backend of x; by default x lies on the host.

        Raises
        ------
        DataError
            If it does not hold integers, or a number is out of range; the text names the first.
        """
        if x.dtype.kind not in "iu":
            raise DataError(
                f"{self.layer} takes integers, not {x.dtype}: use {what}.astype(int) if they are integers"
            )
        if self.limit is None or x.size == 0:
            return
        backend = backend or host()
        with backend.hold():
            xp = backend.xp
            low, high = backend.to_numpy(xp.stack([xp.min(x), xp.max(x)])).tolist()
        if not self.hold(low, high):
            self.refuse(x, what, numbers, backend)

    def hold(self, low: float, high: float) -> bool:
        """Return whether the numbers from `low` to `high` are in range."""
        return self.limit is None or bool(low >= 0 and high < self.limit)

    def refuse(self, x: Array, what: str, numbers: Any, backend: Backend) -> None:
        """Raise the error for an array with a number that is out of range."""
        assert self.limit is not None
        with backend.hold():
            xp = backend.xp
            outside = x < 0
            if self._has(x.dtype):  # in x's type: NumPy compares uint64 with int64 as floats
                outside = outside | (x >= xp.asarray(self.limit).astype(x.dtype))
            outside = outside.reshape(len(x), -1)
            row = int(xp.argmax(xp.any(outside, axis=1)))
            column = int(xp.argmax(outside[row]))
            value = int(x.reshape(len(x), -1)[row, column])
        number = row if numbers is None else int(numbers[row])
        raise DataError(
            f"{what} has the number {value}, first in row {number}, but {self.layer} takes 0 to "
            f"{self.limit - 1}: use a larger vocabulary, or one number for all unknown values"
        )

    def _has(self, dtype: Any) -> bool:
        """Return whether the limit is a number of a type; if not, no number of the type reaches it."""
        assert self.limit is not None
        return bool(self.limit < 1 << 8 * int(dtype.itemsize) - (dtype.kind == "i"))


def readers(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield the layers that read a network's input as integers, also in the branches of containers."""
    first = next((layer for layer in layers if not layer.is_view), None)
    if first is None or first.input_dtype == "float":
        return
    if not first.branches:
        yield first
    for branch in first.branches:
        yield from readers(branch)


def limits(layers: Iterable[Layer]) -> Limits | None:
    """Return the integers that layers take as their input; None if they take floats."""
    found = list(readers(layers))
    if not found:
        return None
    limited = [layer for layer in found if layer.input_limit is not None]
    least = min(limited, key=lambda layer: layer.input_limit or 0, default=found[0])
    return Limits(repr(least), least.input_limit)
