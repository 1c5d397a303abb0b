"""What operations use of the backend that they are part of."""

from __future__ import annotations

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
