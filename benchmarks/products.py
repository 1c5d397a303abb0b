"""Time the matrix products of a step alone, by each BLAS at hand, on one thread and on all.

Run by hand:  python benchmarks/products.py [--only NAME] [--json PATH]

The products are those of the jobs of ``step.py``: forward, dW and dx (not for the first layer). NumPy's BLAS
divides each product among its own threads. The others compute it as the compiled kernels do: each of Numba's
threads multiplies some of the rows. The best in float32 on all threads is the limit that a step is judged by.
The rows take turns, with a pause before each, and the table has medians. MKL needs the extra ``mkl``. Its row
for bfloat16 is printed also on processors that multiply bfloat16 numbers no faster than float32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import common
import jobs
import numpy as np
import tables
from threadpoolctl import threadpool_limits

from nnx.backends import blas, mkl, resolve
from nnx.ops.base_numba import inner, team
from nnx.ops.products_numba import product
from nnx.ops.share_numba import share

JOBS = {"deep": jobs.DEEP, "shallow": jobs.SHALLOW, "classifier": jobs.CLASSIFIER, "wide": jobs.WIDE}
TURN = 0.05  # seconds: about as long as a turn lasts
Products = list[tuple[Any, Any, Any, bool, bool]]


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


def products_of(job: jobs.Job) -> Products:
    """Return the products (a, b, c, whether a and b are transposed) of a step."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape, dtype=np.float32)

    found: Products = []
    x = draw(job.batch, job.widths[0])
    for position, units in enumerate(job.widths[1:]):
        W, y = draw(x.shape[1], units), draw(job.batch, units)
        found += [(x, W, y.copy(), False, False), (x, y, np.empty_like(W), True, False)]
        if position:
            found.append((y, W, np.empty_like(x), False, True))
        x = y
    return found


def by_numpy(products: Products) -> None:
    """Compute all products with NumPy."""
    for a, b, c, first, second in products:
        np.matmul(a.T if first else a, b.T if second else b, out=c)


def by_address(gemm: int, segments: int, products: Products) -> None:
    """Compute all products with a function of a BLAS, on Numba's threads."""
    for a, b, c, first, second in products:
        if first:
            shared_columns(gemm, a, b, c, segments)
        else:
            shared_rows(gemm, a, b, c, second, segments)


def rows_of(products: Products, threads: int) -> dict[str, Callable[[], None]]:
    """Return a function for each BLAS that computes all products once."""
    numpy = resolve("numpy").blas_name()
    found: dict[str, Callable[[], None]] = {f"NumPy's {numpy}": lambda: by_numpy(products)}
    if openblas := blas.with_openblas():
        found[f"nnx's {openblas.name}"] = lambda: by_address(openblas.gemm[4], threads, products)
    try:
        intel = blas.with_mkl()
    except mkl.UnusableError as error:
        click.echo(f"left out: MKL: {error}")
        return found
    found[intel.name] = lambda: by_address(intel.gemm[4], threads, products)
    if half := intel.bfloat16:
        rounded = [((a.view("u4") >> 16).astype("u2"), (b.view("u4") >> 16).astype("u2"), *more)
                   for a, b, *more in products]  # fmt: skip
        found[f"{intel.name}, bfloat16"] = lambda: by_address(half, threads, rounded)
    return found


def measure(job: jobs.Job, threads: int, rounds: int) -> dict[str, float]:
    """Return each row's median in milliseconds."""
    with threadpool_limits(threads, user_api="blas"):
        rows = rows_of(products_of(job), threads)
        samples: dict[str, list[float]] = {name: [] for name in rows}
        for row in rows.values():
            row()  # compile, and start threads
        for number in range(rounds):
            names = [*rows][number % len(rows) :] + [*rows][: number % len(rows)]
            for name in names:
                time.sleep(common.SETTLE)
                began, steps = time.perf_counter(), 0
                while steps < 2 or time.perf_counter() - began < TURN:
                    rows[name]()
                    steps += 1
                samples[name].append((time.perf_counter() - began) / steps)
    return {name: statistics.median(values) * 1e3 for name, values in samples.items()}


@click.command()
@click.option("--only", type=click.Choice(list(JOBS)), multiple=True, help="One job, or several.")
@common.options(rounds=5)
def main(only: tuple[str, ...], rounds: int, threads: int, json_path: Path | None) -> None:
    """Print a table: milliseconds for the products of a step."""
    if resolve("cpu").name != "numba" or resolve("cpu").layer != "tbb":  # type: ignore[attr-defined]
        raise click.ClickException("this needs compiled kernels with TBB: pip install 'nnx-arrays[fast]'")
    common.headline(threads)
    found = {
        (name, count): measure(JOBS[name], count, rounds)
        for name in only or JOBS
        for count in sorted({1, threads})
    }
    names = [*dict.fromkeys(name for one in found.values() for name in one)]
    lines = [[name, *(f"{one[name]:.2f}" for one in found.values())] for name in names]
    lines.append(["best in float32", *(f"{_best(one):.2f}" for one in found.values())])
    head = ["ms", *(f"{name}, {count} thread{'s' * (count > 1)}" for name, count in found)]
    click.echo(tables.table(head, lines))
    common.write_json(
        json_path, "products", threads, {f"{name}, {n}": one for (name, n), one in found.items()}
    )


def _best(medians: dict[str, float]) -> float:
    return min(value for name, value in medians.items() if "bfloat16" not in name)


if __name__ == "__main__":
    main()
