"""The comparison as tables: for people (`tables`) and for programs (`comparison`)."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import numpy as np

from nnx.experiments.compare.agreement import text
from nnx.experiments.compare.measure import FIT_EPOCHS, XOR, Measured, xor_accuracy
from nnx.experiments.compare.processes import NAMES, SIDES
from nnx.experiments.declaration import Table
from nnx.experiments.result import Result, step_time
from nnx.experiments.xor import CASES, REPORTED_LOSSES, REPORTED_PREDICTIONS

TITLES = {
    "xor_deep": "XOR, System A's",
    "xor_shallow": "XOR, System B's",
    "deep": "deep autoencoder",
    "shallow": "shallow autoencoder",
}
# Ease of use: the same work in each, images x given.
PROGRAMS = {
    "nnx": """
import nnx
encoder = [nnx.Dense(n, activation="relu") for n in (512, 256, 128)] + [nnx.Dense(64)]
decoder = [nnx.Dense(n, activation="relu") for n in (128, 256, 512)] + [nnx.Dense(784, activation="sigmoid")]
network = nnx.Network(encoder + decoder)
network.fit(x, x, loss=nnx.BinaryCrossEntropy(), optimizer=nnx.Adam(1e-3), epochs=20, batch_size=256)
codes = network[:7].predict(x)
""",
    "keras": """
from keras import Sequential, layers
encoder = Sequential([layers.Dense(n, activation="relu") for n in (512, 256, 128)] + [layers.Dense(64)])
hidden = [layers.Dense(n, activation="relu") for n in (128, 256, 512)]
model = Sequential([encoder, *hidden, layers.Dense(784, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(x, x, epochs=20, batch_size=256)
codes = encoder.predict(x)
""",
}


def comparison(measured: Measured, timing: dict[str, float]) -> dict[str, Any]:
    """The metrics of a comparison whose loss curves agree."""
    return {
        "table": _rows(measured, timing),
        "speedup": _speedups(measured),
        "xor_predictions": {
            name: {
                "targets": [target for _, target in CASES],
                **{side: _floats(values) for side, values in measured.predictions[name].items()},
                "reported": REPORTED_PREDICTIONS[name.removeprefix("xor_")],
            }
            for name in XOR
        },
        "xor_losses": {name: _log(measured, name) for name in XOR},
        "autoencoder_losses": {
            name: {side: _floats(curve) for side, curve in measured.losses[name].items()}
            for name in ("deep", "shallow")
        },
        "xor_fit_seconds_per_epoch": measured.fit_seconds,
        "times": measured.times,
        "first_steps": measured.first_steps,
        "test_mse": measured.test_mse,
        "svm": measured.svm,
    }


def _rows(measured: Measured, timing: dict[str, float]) -> list[dict[str, Any]]:
    """System B's comparison table, a row a measure; a side that was not measured is None.

    ``repeats``: of how many timings a time is the median, of the least on any side; None where none is taken.
    """
    rows: list[dict[str, Any]] = []

    def add(what: str, unit: str, values: dict[str, Any], repeats: int | None = None) -> None:
        every = {side: values.get(side) for side in SIDES}
        rows.append({"what": what, "unit": unit} | every | {"repeats": repeats})

    def times(name: str) -> None:
        sides = measured.times[name]
        epochs, repeats = sides["nnx"]["epochs"], min(values["repeats"] for values in sides.values())
        add(f"{TITLES[name]}: {epochs:,} epochs", "s", {s: v["train_seconds"] for s, v in sides.items()}, 1)
        steps = {side: values["microseconds_per_step"] for side, values in sides.items()}
        if name in XOR:
            add(f"{TITLES[name]}: a step", "µs", steps, repeats)
        else:
            add(f"{TITLES[name]}: a step", "ms", {s: v / 1e3 for s, v in steps.items()}, repeats)

    for name in XOR:
        right = {side: 4.0 * xor_accuracy(p) for side, p in measured.predictions[name].items()}
        add(f"{TITLES[name]}: right", "of 4", right)
    for name in XOR:
        times(name)
    ours = measured.times["xor_deep"]["nnx"]
    fit = {"nnx": ours["microseconds_per_step"], "keras": 1e6 * measured.fit_seconds}
    add("XOR: an epoch of fit", "µs", fit, min(ours["repeats"], FIT_EPOCHS))
    for name in ("deep", "shallow"):
        error = measured.test_mse[name]
        add(f"{TITLES[name]}: test MSE per pixel", "mse", error)
        add(f"{TITLES[name]}: test MSE per image", "", {s: v * measured.features for s, v in error.items()})
        times(name)
    first = {side: float(np.median(seconds)) for side, seconds in measured.first_steps.items()}
    repeats = min(len(seconds) for seconds in measured.first_steps.values())
    add(f"{TITLES['deep']}: first step, compiling", "s", first, repeats)
    add(f"SVM on {measured.svm['rows']:,} deep codes: accuracy", "share", measured.svm["accuracy"])
    imports = {"nnx": timing["nnx_import_seconds"], "keras": timing["keras_import_seconds"]}
    imports["keras_xla"] = imports["keras"]
    add("ease of use: import", "s", imports, int(timing["import_repeats"]))
    add("ease of use: installed, with requirements", "MB", _sizes())
    lines = {name: len(program.strip().splitlines()) for name, program in PROGRAMS.items()}
    add("ease of use: lines, deep autoencoder", "lines", lines | {"keras_xla": lines["keras"]})
    return rows


def _speedups(measured: Measured) -> dict[str, dict[str, float]]:
    """How many times longer a step takes in Keras, medians of steps that were timed in turn."""
    found = {}
    for name, sides in measured.times.items():
        ours = sides["nnx"]["microseconds_per_step"]
        found[name] = {s: v["microseconds_per_step"] / ours for s, v in sides.items() if s != "nnx"}
    ours = measured.times["xor_deep"]["nnx"]["microseconds_per_step"]
    found["xor_fit"] = {"keras": 1e6 * measured.fit_seconds / ours}
    return found


def _log(measured: Measured, name: str) -> list[list[float | None]]:
    """[epoch, nnx, Keras, Keras XLA, reported] for each epoch that is logged."""
    keep, every = measured.log_every[name]
    curves = measured.losses[name]
    rows: list[list[float | None]] = []
    for position in range(0, len(curves["nnx"]), every // keep):
        epoch = position * keep
        values = [float(curves[side][position]) for side in SIDES]
        rows.append([epoch, *values, REPORTED_LOSSES[name.removeprefix("xor_")].get(epoch)])
    return rows


def _floats(values: Any) -> list[float]:
    return [float(value) for value in np.ravel(values)]


def installed_megabytes(names: Iterable[str]) -> float | None:
    """What distributions and all that they require hold on the disk; None where one is not installed."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    todo = [canonicalize_name(name) for name in names]
    asked, seen, size = set(todo), set(todo), 0
    while todo:
        name = todo.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if name in asked:
                return None
            continue
        paths = (Path(str(found.locate_file(file))) for file in found.files or ())
        size += sum(path.stat().st_size for path in paths if path.is_file())
        for required in map(Requirement, found.requires or ()):
            key = canonicalize_name(required.name)
            if key not in seen and (required.marker is None or required.marker.evaluate({"extra": ""})):
                seen.add(key)
                todo.append(key)
    return size / 1e6


def _sizes() -> dict[str, float | None]:
    owners = packages_distributions().get("tensorflow", [])
    keras = installed_megabytes(["keras", *owners])
    return {"nnx": installed_megabytes(["nnx-arrays"]), "keras": keras, "keras_xla": keras}


# ---------------------------------------------------------------------------- for people


def tables(result: Result) -> list[Table]:
    """The tables of a comparison; where the loss curves do not agree, only the table that says so."""
    agreement = _agreement(result.metrics["agreement"])
    if not result.metrics["agree"]:
        return [agreement]
    metrics = result.metrics
    measured = Table(
        f"nnx and Keras on {result.dataset}",
        ("", *(NAMES[side] for side in SIDES), "repeats"),
        [_text(row) for row in metrics["table"]],
    )
    found = [_speedup_table(metrics["speedup"]), measured, agreement]
    found += [_prediction_table(name, metrics["xor_predictions"][name]) for name in XOR]
    found += [_loss_table(name, metrics["xor_losses"][name]) for name in XOR]
    return found + [_epoch_table(name, metrics["autoencoder_losses"][name]) for name in ("deep", "shallow")]


def _agreement(checks: dict[str, dict[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            f"{TITLES[check['problem']]}, {check['dtype']}", f"{check['steps']}", text(check["keras"]),
            text(check["keras_xla"]), f"{check['tolerance']:.0e}", "yes" if check["agree"] else "NO",
        )
        for check in checks.values()
    ]  # fmt: skip
    header = ("largest relative difference", "steps", "Keras", "Keras XLA", "tolerance", "agree")
    return Table("Do the losses of nnx and Keras agree, step by step?", header, rows)


def _text(row: dict[str, Any]) -> tuple[str, ...]:
    formats = {"share": "{:.4f}", "mse": "{:.5f}", "lines": "{:.0f}", "MB": "{:,.0f} MB"}
    unit = row["unit"]
    form = step_time if unit == "µs" else formats.get(unit, f"{{:.3g}} {unit}".rstrip()).format
    values = ("–" if row[side] is None else form(row[side]) for side in SIDES)
    return (row["what"], *values, "–" if row["repeats"] is None else str(row["repeats"]))


def _speedup_table(speedup: dict[str, dict[str, float]]) -> Table:
    names = TITLES | {"xor_fit": "XOR by Keras's fit"}
    rows = [
        (names[name], *(f"{_ratio(values[s])}×" if s in values else "–" for s in SIDES[1:]))
        for name, values in speedup.items()
    ]
    header = ("", *(NAMES[side] for side in SIDES[1:]))
    return Table("A step in Keras takes so many times as long as in nnx", header, rows)


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _prediction_table(name: str, predictions: dict[str, Any]) -> Table:
    reported = predictions["reported"]
    rows = [
        (
            case, str(target), *(f"{predictions[side][i]:.4f}" for side in SIDES),
            *(f"{values[i]:.3f}" for values in reported.values()),
        )
        for i, (case, target) in enumerate(CASES)
    ]  # fmt: skip
    header = ("input", "target", *(NAMES[side] for side in SIDES), *reported)
    return Table(f"{TITLES[name]}: predictions", header, rows)


def _loss_table(name: str, log: list[list[float | None]]) -> Table:
    rows = [
        (f"{int(epoch or 0)}", *("–" if value is None else f"{value:.5f}" for value in values))
        for epoch, *values in log
    ]
    return Table(f"{TITLES[name]}: losses", ("epoch", *(NAMES[s] for s in SIDES), "reported"), rows)


def _epoch_table(name: str, curves: dict[str, list[float]]) -> Table:
    rows = [
        (str(epoch), *(f"{value:.5f}" for value in values))
        for epoch, values in enumerate(zip(*(curves[side] for side in SIDES), strict=True), start=1)
    ]
    return Table(f"{TITLES[name]}: training loss", ("epoch", *(NAMES[side] for side in SIDES)), rows)
