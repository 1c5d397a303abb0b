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
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import common
import jobs
import tables
from threadpoolctl import threadpool_limits

from nnx.backends import resolve

sys.path.insert(0, str(common.WORKERS))
import multiply

JOBS = {"deep": jobs.DEEP, "shallow": jobs.SHALLOW, "classifier": jobs.CLASSIFIER, "wide": jobs.WIDE}
TURN = 0.05  # seconds: about as long as a turn lasts


def rows_of(products: multiply.Products, threads: int) -> dict[str, Callable[[], None]]:
    """Return a function for each BLAS that computes all products once."""
    found: dict[str, Callable[[], None]] = {}
    for library in multiply.LIBRARIES:
        if fault := multiply.fault(library):
            click.echo(f"left out: {library}: {fault}")
            continue
        name, blas = multiply.chosen(library)
        compute = multiply.by_address(blas.gemm[4], threads) if blas else multiply.by_numpy
        found[name] = partial(compute, products)
        if blas and blas.bfloat16:
            halves = multiply.by_address(blas.bfloat16, threads)
            found[f"{name}, bfloat16"] = partial(halves, multiply.in_bfloat16(products))
    return found


def measure(job: jobs.Job, threads: int, rounds: int) -> dict[str, float]:
    """Return each row's median in milliseconds."""
    with threadpool_limits(threads, user_api="blas"), resolve("cpu").hold():
        rows = rows_of(multiply.of_step(job.batch, job.widths), threads)
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
