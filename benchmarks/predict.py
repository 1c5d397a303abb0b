"""Time the encoder of the deep autoencoder, 784-512-256-128-64, on 60,000 images in batches of 1,024.

Run by hand:  NNX_DATA_DIR=… python benchmarks/predict.py [--json PATH]

The input is a NumPy array, or an array of the framework made before; the output is a NumPy array of all
codes. The mean of their absolute values, next to each time, shows that all computed the same.
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
    Row("nnx, numpy", "nnx", "numpy", "nnx"),
    Row("nnx, numba", "nnx", "numba", "nnx"),
    Row("PyTorch, inference_mode", "torch", "eager"),
    Row("PyTorch, compiled", "torch", "compiled"),
    Row("JAX, jitted", "jax", "step"),
    Row("Keras predict", "keras", "graph"),
    Row("Keras predict, XLA", "keras", "xla"),
]


@click.command()
@click.option("--row", default="", help="Only rows with this text in their name.")
@click.option("--batch", type=click.IntRange(1), default=1024, show_default=True, help="Rows in a batch.")
@common.options(rounds=10)
def main(row: str, batch: int, rounds: int, threads: int, json_path: Path | None) -> None:
    """Print a table."""
    common.headline(threads)
    job = jobs.ENCODE.sized(None, batch=batch)
    rows = [one for one in ROWS if row.lower() in one.name.lower()]
    results, whose = common.measure(job, rows, rounds, threads)
    click.echo(f"60,000 images of {whose}, {batch} at a time")
    tables.report(job, results)
    common.write_json(json_path, "predict", threads, [asdict(one) for one in results])


if __name__ == "__main__":
    main()
