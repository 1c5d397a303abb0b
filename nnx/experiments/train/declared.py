"""Declare ``nnx train``: its options, and how its result is shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from nnx.experiments import convolutions
from nnx.experiments.declaration import Experiment, Table
from nnx.experiments.result import Result
from nnx.experiments.train import rates
from nnx.experiments.train.config import RULES, Config
from nnx.experiments.train.experiment import run

METRICS = {
    "rows": "rows trained on",
    "validation_rows": "rows held out",
    "shape": "shape of a row",
    "validation_loss": "loss on what was held out",
    "majority_accuracy": "accuracy of the commonest class",
    "balanced_accuracy": "balanced accuracy (mean recall)",
    "precision": "precision, mean of the classes",
    "f1": "F1, mean of the classes",
    "roc_auc": "ROC AUC",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "r2": "R²",
} | rates.METRICS
MOST_CLASSES = 20  # largest table of classes in the terminal; result.json has all classes
MOST_COLUMNS, MOST_CHARACTERS = 40, 60  # of the columns of a table, in the terminal
_OF_CLASSES = ("accuracy", "majority_accuracy", "balanced_accuracy", "precision", "f1", "roc_auc")
_OF_VALUES = ("mse", "mae", "r2")
_ERRORS = ("mse", "mae")
_BY_CLASS = ("precision", "recall", "f1")


def tables(result: Result) -> Iterable[Table | str]:
    """Yield the metrics on the rows held out; for a classification also those of each class."""
    metrics, named = result.metrics, EXPERIMENT.named
    rows = [(named(name), f"{metrics[name]:,}") for name in ("rows", "validation_rows", "features")]
    if "shape" in metrics:
        rows.append((named("shape"), " × ".join(map(str, metrics["shape"]))))
    unit = " (of scaled data)" if "scaled" in metrics else ""
    rows.append((f"{named('validation_loss')}{unit}", f"{metrics['validation_loss']:.6g}"))
    for name in _OF_CLASSES if "accuracy" in metrics else _OF_VALUES:
        if name in metrics:
            value = metrics[name]
            rows.append((named(name), f"{value:.6g}" if name in _ERRORS else _share(value)))
        if name in metrics.get("scaled", {}):
            rows.append((named(f"scaled.{name}"), f"{metrics['scaled'][name]:.6g}"))
    targets = metrics.get("by_target", {})
    rows += [(f"R² of {name}", f"{each['r2']:.4f}") for name, each in targets.items() if len(targets) > 1]
    yield Table(f"{result.preset.capitalize()} on {result.dataset}", ("", ""), rows)
    columns = metrics.get("columns", ())
    if columns:
        some = [(*row[:3], row[3][:MOST_CHARACTERS]) for row in columns[:MOST_COLUMNS]]
        more = f" (the first {MOST_COLUMNS})" if len(columns) > MOST_COLUMNS else ""
        yield Table(f"{len(columns):,} columns{more}", ("column", "kind", "", "in training"), some)
    by_class = metrics.get("by_class", {})
    if 0 < len(by_class) <= MOST_CLASSES:
        values = [
            (name, *(_share(each[what]) for what in _BY_CLASS), _count(each["rows"]))
            for name, each in by_class.items()
        ]
        heading = "rows" if all(isinstance(each["rows"], int) for each in by_class.values()) else "weight"
        yield Table("Each class, held out", ("class", *_BY_CLASS, heading), values)


def _count(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw the figures for which the result has data."""
    drawn = _figures(result, reports) | convolutions.figures(result, reports)
    return drawn | rates.figures(result, reports)


def _figures(result: Result, reports: Any) -> dict[str, Any]:
    arrays = result.arrays
    if "confusion_matrix" in result.metrics:
        matrix = np.asarray(result.metrics["confusion_matrix"])
        return {"confusion_matrix": reports.confusion_matrix(matrix, result.metrics["classes"])}
    if "predicted" in arrays:
        names = list(result.metrics["by_target"])
        return {"predictions": reports.predicted_values(arrays["true"], arrays["predicted"], names)}
    if "originals" in arrays:
        shape = tuple(arrays["image_shape"].tolist())
        drawn = reports.reconstructions(arrays["originals"], arrays["reconstructions"], shape)
        return {"reconstructions": drawn}
    return {}


def verdict(result: Result) -> str:
    """Compare the metrics with those of the simplest guess."""
    found = result.metrics
    if {"accuracy", "majority_accuracy"} <= found.keys():
        return (
            f"{found['accuracy']:.1%} of the held-out rows are predicted right; "
            f"always predicting the most common class gives {found['majority_accuracy']:.1%}."
        )
    if "r2" in found:
        better = "less" if found["r2"] >= 0 else "more"
        return f"{abs(found['r2']):.0%} {better} squared error than predicting the targets' mean (R²)."
    return ""


def unused(stored: Mapping[str, Any]) -> Collection[str]:
    """Return the layers if a preset chose them."""
    return ("layers",) if stored.get("preset") else ()


EXPERIMENT = Experiment(
    name="train",
    summary="Train a network on your own data.",
    text="""Train a network on DATA: classification, regression or an autoencoder.

    DATA is a table (.csv, .tsv, .txt), an .npz, .npy or IDX file, or a folder of images. A table has a sample
    in each line, and --target names the columns to learn. Delimiter, decimal mark and encoding are detected.
    An .npz contains the arrays x and y. A .npy contains samples, and --target names the file of the targets.
    A folder has a subfolder of images for each class, or, for an autoencoder, only images; it may have
    subfolders train/ and test/ that contain these. Samples keep their shape: the network flattens images
    itself. With --preset conv it has convolutions that fit their size.

    The run's folder has the same files as that of nnx run. nnx predict applies the model to new data, scaled
    in the same way. Losses are computed on scaled data, metrics on the rows held out, in the data's units.

    With --preset tabular, a table may have columns of any kind: numbers, categories, dates, booleans and
    empty cells. Their kinds are guessed and shown; --kinds gives those that are guessed wrong. The network
    embeds numbers and categories, and several members share most of its weights.

    \b
    Examples:
      nnx train flowers.csv --target species
      nnx train houses.csv --target price,rent --task regression
      nnx train survey.csv --target price --missing median --categories onehot
      nnx train survey.csv --target price --preset tabular --kinds zip=category
      nnx train photos --image-size 32x32 --preset conv
      nnx train photos --layers 'conv2d 16 3 relu,max_pool2d,64 relu'
      nnx train data.npz --config run.toml --epochs 100
      nnx train patients.csv --target ill --class-weight balanced
      nnx train data.npz --optimizer adamw --group '*.b weight_decay=0'
      nnx train data.npz --find-lr --schedule one_cycle --average 0.999
      nnx predict runs/NAME new.csv --out predicted.csv
    """,
    config=Config,
    run=run,
    tables=tables,
    options=RULES,
    figures=figures,
    metrics=METRICS,
    verdict=verdict,
    distributed=True,
    command="train",
    argument="data",
    unused=unused,
)
