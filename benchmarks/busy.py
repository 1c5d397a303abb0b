"""Time a training step next to other programs: the deep autoencoder while other processes use the cores.

Run by hand:  python benchmarks/busy.py [--busy 2 --busy 4] [--row TEXT] [--json PATH]

The workers are those of `step.py`. In each round, every framework takes a turn alone and next to each number
of busy processes. A framework's slowdown is its median time next to them, divided by its median time alone.
If two programs share a core, each gets half of it. So two threads next to N busy processes on two cores take
at least (2 + N) / 2 times as long. A framework is slower than that if its threads wait for each other.
Unset ``OPENBLAS_CORETYPE`` first.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import common
import jobs
import tables
from common import Row, Turns

from nnx.experiments.compare.processes import THREADS

ROWS = [
    Row("nnx, numba", "nnx", "numba"),
    Row("nnx, numpy", "nnx", "numpy"),
    Row("nnx, numpy, 1 thread", "nnx", "numpy", variables=dict.fromkeys(THREADS, "1")),
    Row("PyTorch", "torch", "eager"),
    Row("JAX", "jax", "step"),
    Row("Keras", "keras", "graph"),
    Row("Keras, XLA", "keras", "xla"),
]
BEGIN = 0.2  # seconds until the busy processes run


@contextmanager
def others(count: int) -> Iterator[None]:
    """Run processes that only use processor time."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(BEGIN if count else 0)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def in_turn(workers: Sequence[Turns], counts: Sequence[int], rounds: int) -> dict[tuple[str, int], float]:
    """Return the median seconds of a turn of each worker next to each number of busy processes."""
    found: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        for count in counts if number % 2 else reversed(counts):
            with others(count):
                shift = number % max(1, len(workers))
                for worker in [*workers[shift:], *workers[:shift]]:
                    worker.turn()
                    found.setdefault((worker.row.name, count), []).append(worker.seconds[-1])
    return {key: statistics.median(seconds) for key, seconds in found.items()}


@click.command()
@click.option("--busy", type=click.IntRange(1), multiple=True, default=(2, 4, 6), show_default=True)
@click.option("--row", multiple=True, default=("",), help="Only rows with this text in their name.")
@click.option("--steps", type=click.IntRange(1), default=40, show_default=True, help="Steps in a turn.")
@common.options(rounds=5)
def main(
    busy: tuple[int, ...], row: tuple[str, ...], steps: int, rounds: int, threads: int,
    json_path: Path | None,
) -> None:  # fmt: skip
    """Print the milliseconds of a step, alone and next to busy processes."""
    common.headline(threads)
    rows = [one for one in ROWS if any(text.lower() in one.name.lower() for text in row)]
    counts = sorted({0, *busy})
    with common.started(jobs.DEEP.sized(steps), rows, threads) as (workers, whose):
        found = in_turn(workers, counts, rounds)
        names = [worker.row.name for worker in workers]
    click.echo(f"\n{jobs.DEEP.name}, {whose}; milliseconds of a step, in brackets divided by those alone")
    lines = []
    for name in names:
        times = [found[name, count] / steps for count in counts]
        cells = [f"{1e3 * one:.1f} ({one / times[0]:.1f})" for one in times[1:]]
        lines.append([name, f"{1e3 * times[0]:.2f}", *cells])
    click.echo(tables.table(["", "alone", *(f"next to {count}" for count in counts[1:])], lines))
    listed = [
        {"name": name, "busy": count, "seconds": seconds / steps} for (name, count), seconds in found.items()
    ]
    common.write_json(json_path, "busy", threads, listed)


if __name__ == "__main__":
    main()
