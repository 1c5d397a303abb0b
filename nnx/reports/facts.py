"""Write what a report says in words and numbers: readable names, units, the command to run again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from nnx import experiments
from nnx.errors import ConfigurationError
from nnx.experiments import Experiment, Result
from nnx.experiments.declaration import words
from nnx.experiments.options import option_name
from nnx.reports.charts import number

TIMING = {
    "import_seconds": "importing libraries",
    "data_seconds": "loading the data",
    "first_step_seconds": "first training step",
    "train_seconds": "training",
    "steps": "training steps",
    "microseconds_per_step": "each step after the first",
    "total_seconds": "everything",
}
ENVIRONMENT = {"cores": "cores this process may use", "blas": "BLAS", "gpu": "GPU"}
_SECONDS = "_seconds"


def metrics(result: Result) -> dict[str, str]:
    """Return the metrics that are a number, a word or a shape, by name."""
    flat: dict[str, Any] = {}
    for name, value in result.metrics.items():
        if isinstance(value, dict) and all(isinstance(inner, int | float) for inner in value.values()):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        elif isinstance(value, str | int | float) or value is None:
            flat[name] = value
        elif name == "shape" and isinstance(value, list):
            flat[name] = " × ".join(map(str, value))
    named = declared(result).named
    return {named(name): _figure(name, value) for name, value in flat.items()}


def declared(result: Result) -> Experiment:
    """Return the declaration of a result's experiment; an empty one if another nnx wrote the result."""
    try:
        return experiments.get(result.experiment)
    except ConfigurationError:
        return Experiment(result.experiment, "", "", dict, lambda: result, lambda result: ())


def verdict(result: Result) -> str:
    """Say in one sentence what the run reached; empty if there is nothing to compare it with."""
    return declared(result).verdict(result)


def different_data(results: list[Result]) -> list[str]:
    """Return the data of each run if the runs used different data or held-out rows; else nothing."""
    data = [_data(result) for result in results]
    return data if len(set(data)) > 1 else []


def _data(result: Result) -> str:
    rows, held_out = (result.metrics.get(name) for name in ("rows", "validation_rows"))
    if not (isinstance(rows, int) and isinstance(held_out, int)):
        return result.dataset
    split = f"{rows:,} rows to train on and {held_out:,} held out"
    return f"{result.dataset}, {split}, drawn with seed {result.config.get('seed')}"


def timing(result: Result) -> dict[str, str]:
    """Return the entries of the timing that are not zero, with units."""
    names = {**declared(result).timing, **TIMING}
    return {
        names.get(name, words(name.removesuffix(_SECONDS))): _duration(name, value)
        for name, value in result.timing.items()
        if value
    }


def machine(result: Result) -> dict[str, str]:
    """Return the device that computed, the machine, and the versions of the libraries."""
    device = f"{result.device} ({result.backend}, {result.precision})"
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
    experiment = declared(result)
    skipped = {"device", experiment.argument, *experiment.unused(result.config)}
    if "precision" in result.config:  # it says more than dtype
        skipped.add("dtype")
    words = ["nnx", *(experiment.command or f"run {experiment.name}").split()]
    if experiment.argument:
        words.append(str(result.config.get(experiment.argument)))
    for name, value in result.config.items():
        if name not in skipped and not (value is None or value is False or value in ([], ())):
            rule = experiment.options.get(name)
            for one in value if rule is not None and rule.several else [value]:
                words += [option_name(name, rule), *([] if one is True else [_option(name, one)])]
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
