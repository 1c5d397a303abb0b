"""Compare training on files, with less memory than they take, with training on the same data in memory.

Run by hand:  python benchmarks/streaming.py [--network NAME] [--rows N] [--rounds N]

Two processes take turns of an epoch each. One has the data in memory. The other maps the files and has a
memory limit (RLIMIT_DATA) below their size. Both visit the rows in the same order, so their losses are
bit-identical. The system caches the files if it has memory for them, as on a machine with more memory than a
process may use; the additional cost of a disk depends on the disk.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import common
import numpy as np
from common import Row, Turns

WIDTH, SHARDS = 784, 8
NETWORKS = {"deep": [512, 256, 128, 64, 128, 256, 512], "small": [64]}
LIMIT = 256 * 2**20


def shards(folder: Path, rows: int) -> int:
    """Write files of random numbers; return their bytes."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(SHARDS):
        np.save(folder / f"{number}.npy", generator.random((rows // SHARDS, WIDTH), dtype=np.float32))
    return rows // SHARDS * SHARDS * WIDTH * 4


def compare(folder: Path, name: str, rounds: int, threads: int) -> None:
    """Print the ratio of the speeds, median and quartiles; raise an error if the losses differ."""
    job = {"name": name, "task": "turns", "hidden": NETWORKS[name], "limit": LIMIT, "batch": 256}
    with ExitStack() as stack:
        workers = {}
        for variant in ("loaded", "streamed"):
            workers[variant] = Turns(Row(variant, "streaming", variant), folder, threads)
            stack.callback(workers[variant].close)
            workers[variant].greet()
            workers[variant].prepare(job)
        order = list(workers.values())
        for number in range(rounds):
            for worker in order if number % 2 == 0 else order[::-1]:
                worker.turn()
        loaded, streamed = workers["loaded"], workers["streamed"]
        if loaded.final != streamed.final:
            raise click.ClickException(f"the losses differ: {loaded.final!r} and {streamed.final!r}")
        ratios = [a / b for a, b in zip(loaded.seconds, streamed.seconds, strict=True)]
        lower, median, upper = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
        click.echo(
            f"{name:5} {statistics.median(loaded.seconds):7.2f} s loaded "
            f"{statistics.median(streamed.seconds):7.2f} s streamed   "
            f"{median:.3f} of the speed (quartiles {lower:.3f} to {upper:.3f})"
        )


@click.command()
@click.option("--network", "chosen", type=click.Choice(list(NETWORKS)), multiple=True, default=list(NETWORKS))
@click.option("--rows", default=120_000, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=common.cores(), help="Default: all cores.")
def main(chosen: tuple[str, ...], rows: int, rounds: int, threads: int) -> None:
    """Print a line for each network."""
    common.headline(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = shards(folder / "shards", rows)
        click.echo(f"an epoch of {rows:,} rows, {size / 2**20:.0f} MiB; limit {LIMIT / 2**20:.0f} MiB")
        if size <= LIMIT:
            raise click.UsageError("the data fit in the memory limit: use more --rows")
        for network in chosen:
            compare(folder, network, rounds, threads)


if __name__ == "__main__":
    main()
