"""Compare the initial weights of the hidden layers of ``nnx train`` on the small data sets of scikit-learn.

    OMP_NUM_THREADS=1 python benchmarks/initial_weights.py
    OMP_NUM_THREADS=1 python benchmarks/initial_weights.py --epochs 200 --patience 20

For each seed, a fifth of the rows is kept to test on. ``nnx train`` gets the others, and holds out a quarter
of them for validation. All options have their defaults: two ReLU layers of 64 and 32. The measure is the
accuracy, or R² for diabetes, as a mean over the seeds. Choose by the columns of the validation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from sklearn import datasets
from tables import table

from nnx.experiments.train import Config, run
from nnx.experiments.train.preparation import Preparation
from nnx.layers import ReLU

SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")
INITIALIZERS = ("he_normal", "lecun_normal", "glorot_uniform")


def measured(name: str, seed: int, folder: Path, epochs: int, patience: int | None) -> tuple[float, float]:
    """Return the measure on the rows for validation, and on the rows to test on."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    regression = name == "diabetes"
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = np.split(order, [round(0.8 * len(x))])
    path = folder / "rows.npz"
    np.savez(path, x=x[train], y=y[train])
    config = Config(
        str(path), "regression" if regression else "classification", validation=0.25, seed=seed,
        device="numpy", epochs=epochs, patience=patience,
    )  # fmt: skip
    result = run(config)
    network = result.network
    assert network is not None
    assert network.output_shape is not None
    stored = result.description["preparation"]
    prepared = Preparation.from_metadata(stored, network.input_shape, network.output_shape)
    answers = prepared.predict(network, x[test])
    if regression:
        error = np.mean(np.square(answers[:, 0] - y[test]))
        return result.metrics["r2"], float(1.0 - error / np.var(y[test]))
    return result.metrics["accuracy"], float(np.mean(answers.argmax(axis=1) == y[test]))


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=50, show_default=True)
@click.option("--patience", type=click.IntRange(1), help="As for nnx train.")
@click.option("--only", multiple=True, type=click.Choice(INITIALIZERS), help="Some of the initial weights.")
def main(seeds: int, epochs: int, patience: int | None, only: tuple[str, ...]) -> None:
    """Print a table: validation / test, a line for each initializer."""
    lines, usual = [], ReLU.record
    with TemporaryDirectory() as folder:
        for initializer in only or INITIALIZERS:
            ReLU.record = replace(usual, initializer=initializer)
            cells, means = [initializer], []
            for name in SETS:
                found = [measured(name, seed, Path(folder), epochs, patience) for seed in range(seeds)]
                means.append(np.mean(found, axis=0))
                cells.append(" / ".join(f"{value:.3f}" for value in means[-1]))
            lines.append([*cells, " / ".join(f"{value:.3f}" for value in np.mean(means, axis=0))])
            click.echo(" | ".join(lines[-1]))
    click.echo(table(["initial weights", *SETS, "mean"], lines))


if __name__ == "__main__":
    main()
