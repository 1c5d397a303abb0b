"""Base classes of operations: what they need from the backend."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

Array = Any


class Operations:
    """Base of all operations.

    Attributes
    ----------
    xp : module
        The array library, NumPy or CuPy; operations use only functions that both have.
    """

    xp: Any


class InPlace(Operations):
    """Base of the forms that compute in place on NumPy."""

    def _scratch(self, shape: tuple[int, ...], dtype: Any, slot: int = 0) -> Array:
        """Return an array for an intermediate result; two slots never overlap."""
        raise NotImplementedError

    def _zeros(self, size: int, dtype: Any) -> Array:
        """Return zeros, which may only be read."""
        raise NotImplementedError


class OnGpu(Operations):
    """Base of the forms on CuPy, where `xp` is CuPy.

    Each operation makes the backend's device current while it runs (``with self._hold``), because CuPy
    launches on the current device, wherever the arrays are.
    """

    _hold: AbstractContextManager[Any]

    def _buffer(self, name: str, size: int, dtype: Any) -> Array:
        """Return an array of at least `size` numbers that one kernel passes to the next."""
        raise NotImplementedError

    def _counter(self, name: str, size: int = 1) -> Array:
        """Return unsigned integers in memory that are 0, and that a kernel leaves at 0."""
        raise NotImplementedError

    def _product(self, a: Array, b: Array, out: Array) -> Array:
        """out = a b; a and b are C-contiguous or transposes of such arrays, out is C-contiguous."""
        raise NotImplementedError

    def _stacked_product(self, a: Array, b: Array, out: Array) -> Array:
        """out[g] = a[g] b[g] for stacks of matrices; the rows or the columns of each are contiguous."""
        raise NotImplementedError

    def _biased_product(self, a: Array, b: Array, bias: Array, out: Array, kind: str) -> bool:
        """Compute out = f(a b + bias) with one launch and return True; return False if that is impossible."""
        raise NotImplementedError
