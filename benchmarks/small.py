"""Measure microseconds for each step of a tiny network: XOR, 2-4-1, 5,000 steps of SGD on all four rows.

Run by hand:  python benchmarks/small.py [--row TEXT] [--json PATH]

Every turn is the whole training from the same initial weights. Its time is all that a user waits for, except
the warm-up. `Network.fit` also checks the data and the loss of every step, and stores a history of 5,000
losses. No other framework does this; only Keras's `train_on_batch` reads the loss of each step.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
import common
import jobs
import tables
from common import Row

ROWS = [
    Row("nnx fit, numpy", "nnx", "numpy", "nnx"),
    Row("nnx fit, numba", "nnx", "numba", "nnx"),
    Row("nnx loop by hand, numpy", "nnx", "numpy-loop", "nnx"),
    Row("nnx loop by hand, numba", "nnx", "numba-loop", "nnx"),
    Row("JAX, jitted step", "jax", "step"),
    Row("JAX, the loop compiled", "jax", "loop"),
    Row("PyTorch", "torch", "eager"),
    Row("PyTorch, compiled", "torch", "compiled"),
    Row("Keras train_on_batch", "keras", "graph"),
    Row("Keras train_on_batch, XLA", "keras", "xla"),
    Row("scikit-learn", "sklearn", other_loss="log loss: MLPClassifier has no other"),
]


@click.command()
@click.option("--row", default="", help="Only rows with this text in their name.")
@click.option("--steps", type=click.IntRange(1), default=None, help="Default: 5,000.")
@common.options(rounds=5)
def main(row: str, steps: int | None, rounds: int, threads: int, json_path: Path | None) -> None:
    """Print a table."""
    common.headline(threads)
    job = jobs.XOR.sized(steps)
    rows = [one for one in ROWS if row.lower() in one.name.lower()]
    results, _ = common.measure(job, rows, rounds, threads)
    tables.report(job, results, "µs")
    for one in rows:
        if one.other_loss:
            click.echo(f"  {one.name}: another loss: {one.other_loss}")
    common.write_json(json_path, "small", threads, [asdict(one) for one in results])


if __name__ == "__main__":
    main()
