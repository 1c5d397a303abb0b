"""The triad whose rows the compiled kernels' threads share; see `bandwidth`."""

from __future__ import annotations

from typing import Any

from nnx.ops.base_numba import inner, team
from nnx.ops.share_numba import share


@inner
def some_of_triad(a: Any, b: Any, c: Any, s: Any) -> None:
    """Compute a = b + s c in a segment."""
    for i in range(a.size):
        a[i] = b[i] + s * c[i]


@team
def triad(a: Any, b: Any, c: Any, s: Any, segments: int) -> None:
    """Compute a = b + s c."""
    share(some_of_triad, (a, b, c), (s,), segments)
