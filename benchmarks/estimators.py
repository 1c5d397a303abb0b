"""Compare nnx's estimators with scikit-learn's: same network, optimizer, batch and epochs; time and score.

Run by hand:  NNX_DATA_DIR=… python benchmarks/estimators.py [--only NAME] [--json PATH]

Each estimator fits in a separate process, in interleaved rounds, each round with another seed, on data of the
named type. The time is that of `fit` and of the score on the test set. All use Adam; scikit-learn's penalty
and early stopping are off. Each library draws its own initial weights, so the score is that of the median
seed.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import common
import numpy as np
import tables
from common import Row
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

ROWS = [
    Row("nnx, numba", "estimators", "numba", "nnx"),
    Row("nnx, numpy", "estimators", "numpy", "nnx"),
    Row("scikit-learn", "estimators", "sklearn"),
]


@dataclass(frozen=True)
class Job:
    """One fit."""

    title: str
    classifies: bool
    hidden: tuple[int, ...]
    batch: int
    epochs: int
    rate: float = 1e-3


JOBS = {
    "diabetes": Job("442 rows × 10, float64", False, (20,), 32, 100),
    "friedman": Job("10,000 rows × 10, float64", False, (100, 100), 200, 20),
    "digits": Job("1,797 rows × 64, float64", True, (32,), 32, 50),
    "mnist": Job("60,000 rows × 784, float32", True, (256, 128), 128, 3),
}


def arrays(name: str) -> dict[str, np.ndarray]:
    """Return the training and test rows of a job."""
    if name == "mnist":
        from nnx import datasets

        data = datasets.load("mnist")
        return {"x": data.x_train, "y": data.y_train, "x_test": data.x_test, "y_test": data.y_test}
    load = {"diabetes": load_diabetes, "digits": load_digits}.get(name)
    x, y = load(return_X_y=True) if load else make_friedman1(10_000, noise=1.0, random_state=0)
    x = x / 16.0 if name == "digits" else StandardScaler().fit_transform(x)
    y = y if JOBS[name].classifies else (y - y.mean()) / y.std()
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0)
    return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}


@click.command()
@click.option("--only", type=click.Choice(list(JOBS)), multiple=True, help="One job, or several.")
@common.options(rounds=5)
def main(only: tuple[str, ...], rounds: int, threads: int, json_path: Path | None) -> None:
    """Print a table of medians for each job."""
    common.headline(threads)
    found = {}
    for name in only or JOBS:
        found[name] = compare(name, rounds, threads)
    common.write_json(json_path, "estimators", threads, found)


def compare(name: str, rounds: int, threads: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds and scores of every row."""
    job = JOBS[name]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        np.savez(folder / "arrays.npz", **arrays(name))
        workers = []
        for row in ROWS:
            workers.append(common.Turns(row, folder, threads))
            stack.callback(workers[-1].close)
            workers[-1].greet()
            workers[-1].prepare(asdict(job) | {"name": name, "task": "turns"})
        scores: dict[str, list[float]] = {row.name: [] for row in ROWS}
        for number in range(rounds):
            shift = number % len(workers)
            for worker in workers[shift:] + workers[:shift]:
                worker.turn()
                scores[worker.row.name].append(float(worker.final or 0.0))
    peer = statistics.median(workers[-1].seconds)
    lines = []
    for worker in workers:
        line = worker.row.name
        times, reached = worker.seconds, scores[worker.row.name]
        middle = statistics.median(times)
        lines.append([
            line, f"{middle:.3f}", f"{min(times):.3f} … {max(times):.3f}", f"{middle / peer:.2f}",
            f"{statistics.median(reached):.4f}", f"{min(reached):.4f} … {max(reached):.4f}",
        ])  # fmt: skip
    widths = "-".join(map(str, job.hidden))
    click.echo(f"\n{name}: {job.title}, hidden {widths}, batch {job.batch}, {job.epochs} epochs")
    score = "accuracy" if job.classifies else "R²"
    head = ["", "fit, s", "least … most", "÷ scikit-learn", score, "least … most"]
    click.echo(tables.table(head, lines))
    return {w.row.name: {"seconds": w.seconds, "scores": scores[w.row.name]} for w in workers}


if __name__ == "__main__":
    main()
