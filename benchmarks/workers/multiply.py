"""The matrix products of a training step, and each BLAS at hand that computes them.

NumPy's BLAS divides a product among its own threads. The others compute it as the compiled kernels do: each
thread multiplies some of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.backends import blas, mkl, resolve

LIBRARIES = ("numpy", "openblas", "mkl")
Products = list[tuple[Any, Any, Any, bool, bool]]


def of_step(batch: int, widths: Sequence[int]) -> Products:
    """Return the products (a, b, c, whether a and b are transposed) of a step; layer 1 has no dx."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape, dtype=np.float32)

    found: Products = []
    x = draw(batch, widths[0])
    for position, units in enumerate(widths[1:]):
        W, y = draw(x.shape[1], units), draw(batch, units)
        found += [(x, W, y.copy(), False, False), (x, y, np.empty_like(W), True, False)]
        if position:
            found.append((y, W, np.empty_like(x), False, True))
        x = y
    return found


def in_bfloat16(products: Products) -> Products:
    """Return the products with factors in bfloat16: the upper halves of float32 numbers."""
    return [((a.view("u4") >> 16).astype("u2"), (b.view("u4") >> 16).astype("u2"), *more)
            for a, b, *more in products]  # fmt: skip


def fault(library: str) -> str:
    """Return why one of the `LIBRARIES` cannot be used here; empty if it can."""
    if library == "numpy":
        return ""
    if resolve("cpu").name != "numba":
        return "it needs compiled kernels: pip install 'nnx-arrays[fast]'"
    try:
        found = blas.with_mkl() if library == "mkl" else blas.with_openblas()
    except mkl.UnusableError as error:
        return str(error)
    return "" if found else "the extra fast has a copy of OpenBLAS, which was not found"


def chosen(library: str) -> tuple[str, Any]:
    """Return the full name of a library without a fault, and its `Blas`; None for NumPy's."""
    if library == "numpy":
        return f"NumPy's {resolve('numpy').blas_name()}", None
    found: Any = blas.with_mkl() if library == "mkl" else blas.with_openblas()
    return found.name if library == "mkl" else f"nnx's {found.name}", found


def by_numpy(products: Products) -> None:
    """Compute all products with NumPy."""
    for a, b, c, first, second in products:
        np.matmul(a.T if first else a, b.T if second else b, out=c)


def by_address(gemm: int, threads: int) -> Callable[[Products], None]:
    """Return a function that computes all products with a function of a BLAS, on the kernels' threads."""
    import multiply_numba as kernels

    def multiply(products: Products) -> None:
        for a, b, c, first, second in products:
            if first:
                kernels.shared_columns(gemm, a, b, c, threads)
            else:
                kernels.shared_rows(gemm, a, b, c, second, threads)

    return multiply
