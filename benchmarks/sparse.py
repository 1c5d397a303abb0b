"""Train on a sparse text matrix: seconds next to dense X and next to scikit-learn, and the peak of memory.

Run by hand:  python benchmarks/sparse.py speed [--rounds N] [--rows N]
              python benchmarks/sparse.py memory [--updates]

The matrix is drawn: each row has about 100 different words of 50,000, frequent and rare ones as in texts. All
train a classifier with 100 hidden units and 10 classes on batches of 200 rows, in float32. ``speed`` trains
epochs by `partial_fit`, in turns in one process, with a pause before each. ``memory`` trains an epoch on
100,000 rows, predicts and scores them, and prints the largest memory that the process had (as the system
counts it: all of Python, its libraries and the matrix too).
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import tables
from scipy import sparse

from nnx.backends.threads import cores
from nnx.estimators import NetworkClassifier

FEATURES, WORDS, CLASSES, BATCH, HIDDEN = 50_000, 100, 10, 200, 100
SETTLE = 0.25  # seconds, in which the threads of the turn before fall asleep
LIMIT = 2e9  # bytes


def drawn(rows: int) -> tuple[Any, np.ndarray]:
    """Return a matrix of counts of words, and a class for each row."""
    rng = np.random.default_rng(0)
    starts, columns = [0], []
    for _ in range(rows):
        words = np.unique((FEATURES ** rng.random(WORDS * 4 // 3)).astype(np.int32) - 1)
        columns.append(words)
        starts.append(starts[-1] + len(words))
    values = rng.uniform(0.05, 0.3, starts[-1]).astype(np.float32)
    indices = np.concatenate(columns)
    x = sparse.csr_matrix((values, indices, starts), shape=(rows, FEATURES))
    return x, rng.integers(0, CLASSES, rows)


def of_nnx(**options: Any) -> NetworkClassifier:
    """Return an estimator of nnx."""
    return NetworkClassifier(HIDDEN, batch_size=BATCH, random_state=0, **options)


def turns(x: Any, y: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return a function that trains an epoch, for each line of the table."""
    from sklearn.neural_network import MLPClassifier

    peer = MLPClassifier(HIDDEN, batch_size=BATCH, alpha=0.0, random_state=0)
    dense, classes = x.toarray(), np.arange(CLASSES)
    models = {
        "scikit-learn, sparse X": (peer, x),
        "nnx, dense X": (of_nnx(), dense),
        "nnx, sparse X": (of_nnx(), x),
        "nnx, sparse X, NumPy alone": (of_nnx(device="numpy"), x),
        "nnx, sparse X, sparse_updates=True": (of_nnx(sparse_updates=True), x),
        "nnx, dense X, SGD": (of_nnx(optimizer="sgd"), dense),
        "nnx, sparse X, SGD": (of_nnx(optimizer="sgd"), x),
    }

    def epoch(model: Any, data: Any) -> Callable[[], Any]:
        return lambda: model.partial_fit(data, y, classes=classes)

    return {name: epoch(*pair) for name, pair in models.items()}


@click.group()
def main() -> None:
    """Measure training on sparse X."""


@main.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--rows", default=2000, show_default=True)
def speed(rounds: int, rows: int) -> None:
    """Print the milliseconds of a step for each line."""
    warnings.simplefilter("ignore")
    x, y = drawn(rows)
    steps = -(-rows // BATCH)
    click.echo(f"{rows:,} rows × {FEATURES:,}, {x.nnz / rows:.0f} words a row, {cores()} threads")
    lines, seconds = turns(x, y), {}
    for turn in lines.values():
        turn()
    for _ in range(rounds):
        for name, turn in lines.items():
            time.sleep(SETTLE)
            began = time.perf_counter()
            turn()
            seconds.setdefault(name, []).append((time.perf_counter() - began) / steps * 1e3)
    peer = statistics.median(seconds["scikit-learn, sparse X"])
    rows_of_table = [
        [name, f"{statistics.median(found):.2f}", f"{min(found):.2f} … {max(found):.2f}",
         f"{peer / statistics.median(found):.1f}"]
        for name, found in seconds.items()
    ]  # fmt: skip
    head = ["", "ms a step", "least … most", "times as fast as scikit-learn"]
    click.echo(tables.table(head, rows_of_table))


@main.command()
@click.option("--rows", default=100_000, show_default=True)
@click.option("--updates", is_flag=True, help="With sparse_updates=True.")
def memory(rows: int, updates: bool) -> None:
    """Print the peak of memory, and fail if it is above 2 GB."""
    x, y = drawn(rows)
    before = peak()
    model = of_nnx(epochs=1, sparse_updates=updates, early_stopping=True, validation_fraction=0.1)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    seconds = time.perf_counter() - began
    model.predict(x)
    model.score(x, y)
    dense = rows * FEATURES * 4 / 1e9
    click.echo(
        f"{rows:,} rows × {FEATURES:,}, {x.nnz / rows:.0f} words a row (dense: {dense:.0f} GB): peak "
        f"{peak() / 1e9:.2f} GB, {before / 1e9:.2f} GB of it before fit; an epoch took {seconds:.1f} s"
    )
    if peak() > LIMIT:
        sys.exit(f"more than {LIMIT / 1e9:.0f} GB")


def peak() -> float:
    """Return the largest memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
