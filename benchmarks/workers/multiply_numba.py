"""Products whose rows the compiled kernels' threads share; see `multiply`."""

from __future__ import annotations

from typing import Any

from nnx.ops.base_numba import inner, team
from nnx.ops.products_numba import product
from nnx.ops.share_numba import share


@inner
def some_rows(a: Any, c: Any, gemm: int, b: Any, transpose: bool) -> None:
    """Compute rows of c = a b or a bᵀ."""
    product(gemm, a, b, c, False, transpose)


@inner
def some_columns(a: Any, c: Any, gemm: int, b: Any) -> None:
    """Compute rows of c = a b, where a is a transposed array."""
    product(gemm, a.T, b, c, True, False)


@team
def shared_rows(gemm: int, a: Any, b: Any, c: Any, transpose: bool, segments: int) -> None:
    """Let the threads share the rows of c = a b or a bᵀ."""
    share(some_rows, (a, c), (gemm, b, transpose), segments)


@team
def shared_columns(gemm: int, a: Any, b: Any, c: Any, segments: int) -> None:
    """Let the threads share the rows of c = aᵀ b."""
    share(some_columns, (a.T, c), (gemm, b), segments)
