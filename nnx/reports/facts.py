"""Write what a report says in words and numbers: readable names, units, the command to run again."""

from __future__ import annotations

import json
import math
import shlex
from typing import Any

from nnx.experiments import Result
from nnx.experiments.names import metric_name, words
from nnx.reports.charts import number

TIMING = {
    "import_seconds": "importing libraries",
    "data_seconds": "loading the data",
    "first_step_seconds": "first training step",
    "train_seconds": "training",
    "steps": "training steps",
    "microseconds_per_step": "each step after the first",
    "encode_seconds": "encoding all images",
    "svm_seconds": "both SVMs and PCA",
    "svm_engine_seconds": "choosing the SVM engine",
    "svm_fit_seconds": "SVM on the codes: fit",
    "svm_predict_seconds": "SVM on the codes: prediction",
    "pca_svm_fit_seconds": "SVM on PCA: fit",
    "pca_svm_predict_seconds": "SVM on PCA: prediction",
    "total_seconds": "everything",
}
ENVIRONMENT = {"cores": "cores this process may use", "gpu": "GPU"}
_SECONDS = "_seconds"
# Entries of a configuration that are not options of a run that was given a model.
_OF_TRAINING = {"preset", "seed", "epochs", "batch_size", "dtype", "on_nonfinite"}


def metrics(result: Result) -> dict[str, str]:
    """Return the metrics that are one number or word, by name."""
    flat: dict[str, Any] = {}
    for name, value in result.metrics.items():
        if isinstance(value, dict) and all(isinstance(inner, int | float) for inner in value.values()):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        elif isinstance(value, str | int | float) or value is None:
            flat[name] = value
    return {metric_name(name, result.experiment): _figure(name, value) for name, value in flat.items()}


def verdict(result: Result) -> str:
    """Say in one sentence what the run reached; empty if there is nothing to compare it with."""
    figures = result.metrics
    if {"test_mse", "pca_test_mse"} <= figures.keys():
        return _against_pca(figures["test_mse"], figures["pca_test_mse"])
    if {"accuracy", "pca_accuracy"} <= figures.keys():
        return _codes_against_pca(figures)
    if {"accuracy", "majority_accuracy"} <= figures.keys():
        return (
            f"{figures['accuracy']:.1%} of the held-out rows are predicted right; "
            f"always predicting the most common class gives {figures['majority_accuracy']:.1%}."
        )
    if "r2" in figures:
        better = "less" if figures["r2"] >= 0 else "more"
        return f"{abs(figures['r2']):.0%} {better} squared error than predicting the targets' mean (R²)."
    if "speedup" in figures:
        return _speed(figures["speedup"])
    if result.experiment == "xor" and "accuracy" in figures:
        return f"{round(4 * figures['accuracy'])} of the 4 cases are right."
    return ""


def _against_pca(error: float, linear: float) -> str:
    if not (math.isfinite(error) and linear > 0):
        return ""
    change = error / linear - 1.0
    compared = f"{abs(change):.0%} {'less' if change < 0 else 'more'} error than PCA of the same size"
    advice = "" if change < 0 else " More epochs may help."
    return f"{compared}: {error:.4g} against {linear:.4g} per pixel.{advice}"


def _codes_against_pca(figures: dict[str, Any]) -> str:
    ours, linear = figures["accuracy"], figures["pca_accuracy"]
    p = figures.get("mcnemar", {}).get("p_value")
    chance = "" if p is None else f" (McNemar's test: p = {p:.2g})"
    if ours == linear:
        return f"As accurate as an SVM on PCA of the same size: {ours:.2%}{chance}."
    compared = "fewer" if ours > linear else "more"
    share = f"{abs(linear - ours) / (1.0 - linear):.0%} {compared}" if linear < 1.0 else "More"
    return (
        f"{share} errors than an SVM on PCA of the same size: "
        f"accuracy {ours:.2%} against {linear:.2%}{chance}."
    )


def _speed(speedup: dict[str, dict[str, float]]) -> str:
    """Compare a step of the deep autoencoder with the faster of Keras's two forms."""
    sides = speedup.get("deep")
    if not sides:
        return ""
    side, ratio = min(sides.items(), key=lambda item: item[1])
    slower, faster = {"keras": "Keras", "keras_xla": "Keras with XLA"}.get(side, side), "nnx"
    if ratio < 1.0:
        slower, faster, ratio = faster, slower, 1.0 / ratio
    return (
        f"With equal losses, a step of the deep autoencoder takes {ratio:.2g} times as long "
        f"in {slower} as in {faster}."
    )


def different_data(results: list[Result]) -> list[str]:
    """Return the data of each run if the runs used different data or held-out rows; else nothing."""
    told = [_data(result) for result in results]
    return told if len(set(told)) > 1 else []


def _data(result: Result) -> str:
    figures, options = result.metrics, result.config
    rows = [
        f"{figures[name]:,}" for name in ("rows", "validation_rows") if isinstance(figures.get(name), int)
    ]
    words = [result.dataset]
    if len(rows) == 2:
        words.append(
            f"{rows[0]} rows to train on and {rows[1]} held out, drawn with seed {options.get('seed')}"
        )
    return ", ".join(words)


def timing(result: Result) -> dict[str, str]:
    """Return the entries of the timing that are not zero, with units."""
    return {
        TIMING.get(name, words(name.removesuffix(_SECONDS))): _duration(name, value)
        for name, value in result.timing.items()
        if value
    }


def machine(result: Result) -> dict[str, str]:
    """Return the device that computed, the machine, and the versions of the libraries."""
    device = f"{result.device} ({result.backend}, {result.dtype})"
    found = {ENVIRONMENT.get(name, words(name)): str(value) for name, value in result.environment.items()}
    libraries = {name: str(value) for name, value in result.versions.items() if name != "python"}
    return {"device that computed": device} | found | libraries


def config(result: Result) -> dict[str, str]:
    """Return the configuration, as the result stores it."""
    return {
        str(name): "–" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in result.config.items()
    }


def command(result: Result) -> str:
    """Return the command that gives this result again, on the device that computed it."""
    skipped = {"device", "data"} | (_OF_TRAINING if result.config.get("model") else set())
    words = ["nnx", "train", str(result.config.get("data"))]
    if result.experiment != "train":
        words[1:] = ["run", result.experiment]
    for name, value in result.config.items():
        if name not in skipped and not (value is None or value is False or value in ([], ())):
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [_option(name, value)])]
    device = result.backend if result.device == "cpu" else result.device
    return shlex.join([*words, "--device", device])


def _option(name: str, value: Any) -> str:
    """Return a value as an option of the command line."""
    if isinstance(value, list | tuple):
        return ("x" if name == "image_size" else ",").join(map(str, value))
    return str(value)


def names(folders: list[str]) -> list[str]:
    """Return names of runs: the last part of each folder's path, or more parts if names would be equal."""
    parts = [folder.replace("\\", "/").rstrip("/").split("/") for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-length:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return [f"{name} ({place})" for place, name in enumerate(folders, start=1)]


def table(columns: list[dict[str, str]], last: str = "") -> list[tuple[str, list[str], bool]]:
    """Return a row for every name: the name, the value of each run, and whether the values differ."""
    rows = dict.fromkeys(name for column in columns for name in column)
    found = []
    for name in sorted(rows, key=lambda name: name == last):
        values = [column.get(name, "–") for column in columns]
        found.append((name, values, len(set(values)) > 1))
    return found


def _figure(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and "accuracy" in name:
        return f"{value:.2%}"
    if name.endswith("p_value") and isinstance(value, float):
        return f"{value:.2g}"
    return value if isinstance(value, str) else number(value)


def _duration(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return "–"
    if name.startswith("microseconds"):
        value = value / 1e6
    elif not name.endswith(_SECONDS):
        return number(value)
    if value >= 120:
        return f"{int(value // 60)} min {int(value % 60)} s"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"
