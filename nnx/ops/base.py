"""What operations use of the backend that they are part of."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

Array = Any


class Operations:
    """Base of all operations.

    Attributes
    ----------
    xp : module
        The array namespace, used in the subset that NumPy and CuPy share.
    """

    xp: Any


class InPlace(Operations):
    """Base of the forms that compute in place on NumPy."""

    def _scratch(self, shape: tuple[int, ...], dtype: Any, slot: int = 0) -> Array:
        """An array for an intermediate result; two slots never overlap."""
        raise NotImplementedError


class OnGpu(Operations):
    """Base of the forms on CuPy; `xp` is CuPy there.

    Each operation makes the backend's device current while it runs (``with self._hold``): CuPy launches on
    the current device, wherever the arrays are.
    """

    _hold: AbstractContextManager[Any]

    def _buffer(self, name: str, size: int, dtype: Any) -> Array:
        """An array of at least that size for what one kernel leaves to the next."""
        raise NotImplementedError
