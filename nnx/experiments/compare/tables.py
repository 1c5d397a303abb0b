"""Show a comparison: as tables for people (`tables`) and for programs (`comparison`), and as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.experiments.compare import ease
from nnx.experiments.compare.agreement import text
from nnx.experiments.compare.measure import FIT_EPOCHS, Measured, xor_accuracy
from nnx.experiments.compare.sides import (
    AUTOENCODERS,
    CLASSIFIER,
    CONVOLUTIONAL,
    FRAMEWORKS,
    TITLES,
    XOR,
    Side,
)
from nnx.experiments.declaration import Table
from nnx.experiments.result import Result, step_time
from nnx.experiments.xor import CASES, REPORTED_LOSSES, REPORTED_PREDICTIONS

PROBLEMS = {
    "xor_deep": "XOR, System A's",
    "xor_shallow": "XOR, System B's",
    "deep": "deep autoencoder",
    "shallow": "shallow autoencoder",
    CLASSIFIER: "classifier",
    CONVOLUTIONAL: "convolutional classifier",
    "xor_fit": "XOR by Keras's fit",
}


# ---------------------------------------------------------------------------- for programs


def comparison(measured: Measured, timing: dict[str, float], sides: dict[str, Side]) -> dict[str, Any]:
    """Return the metrics of a comparison whose loss curves agree."""
    xor = [name for name in XOR if name in measured.times]
    found: dict[str, Any] = {
        "table": _rows(measured, timing, sides),
        "speedup": _speedups(measured),
        "xor_predictions": {
            name: {
                "targets": [target for _, target in CASES],
                **{side: _floats(values) for side, values in measured.predictions[name].items()},
                "reported": REPORTED_PREDICTIONS[name.removeprefix("xor_")],
            }
            for name in xor
        },
        "xor_losses": {name: _log(measured, name) for name in xor},
        "epoch_losses": {
            name: {side: _floats(curve) for side, curve in measured.losses[name].items()}
            for name in (*AUTOENCODERS, CLASSIFIER, CONVOLUTIONAL)
            if name in measured.losses
        },
        "times": measured.times,
        "first_steps": measured.first_steps,
        "test_mse": measured.test_mse,
        "svm": measured.svm,
    }
    if measured.fit_seconds is not None:
        found["xor_fit_seconds_per_epoch"] = measured.fit_seconds
    for name, accuracy in measured.accuracy.items():
        found[name] = {"accuracy": accuracy}
    return found


def _rows(measured: Measured, timing: dict[str, float], sides: dict[str, Side]) -> list[dict[str, Any]]:
    """Return System B's comparison table, a row a measure; a side that was not measured is None.

    ``repeats``: a time is the median of so many timings (the fewest on any side); None for other values.
    """
    rows: list[dict[str, Any]] = []

    def add(what: str, unit: str, values: dict[str, Any], repeats: int | None = None) -> None:
        every = {side: values.get(side) for side in sides}
        rows.append({"what": what, "unit": unit} | every | {"repeats": repeats})

    def add_times(name: str) -> None:
        every, title = measured.times[name], PROBLEMS[name]
        epochs, repeats = every["nnx"]["epochs"], min(values["repeats"] for values in every.values())
        add(f"{title}: {epochs:,} epochs", "s", {s: v["train_seconds"] for s, v in every.items()}, 1)
        steps = {side: values["microseconds_per_step"] for side, values in every.items()}
        if name in XOR:
            add(f"{title}: a step", "µs", steps, repeats)
        else:
            add(f"{title}: a step", "ms", {s: v / 1e3 for s, v in steps.items()}, repeats)

    xor = [name for name in XOR if name in measured.times]
    for name in xor:
        right = {side: 4.0 * xor_accuracy(p) for side, p in measured.predictions[name].items()}
        add(f"{PROBLEMS[name]}: right", "of 4", right)
    for name in xor:
        add_times(name)
    if measured.fit_seconds is not None:
        ours = measured.times["xor_deep"]["nnx"]
        fit = {"nnx": ours["microseconds_per_step"], "keras": 1e6 * measured.fit_seconds}
        add("XOR: an epoch of fit", "µs", fit, min(ours["repeats"], FIT_EPOCHS))
    for name in AUTOENCODERS:
        if error := measured.test_mse.get(name):
            add(f"{PROBLEMS[name]}: test MSE per pixel", "mse", error)
            per_image = {side: value * measured.features for side, value in error.items()}
            add(f"{PROBLEMS[name]}: test MSE per image", "", per_image)
            add_times(name)
    for name, accuracy in measured.accuracy.items():
        add(f"{PROBLEMS[name]}: test accuracy", "share", accuracy)
        add_times(name)
    first = {side: float(np.median(seconds)) for side, seconds in measured.first_steps.items()}
    repeats = min(len(seconds) for seconds in measured.first_steps.values())
    add("first step of a process, compiling", "s", first, repeats)
    if measured.svm:
        add(f"SVM on {measured.svm['rows']:,} deep codes: accuracy", "share", measured.svm["accuracy"])
    used = {side: about.framework for side, about in sides.items()}
    imports = {side: timing.get(f"{name}_import_seconds") for side, name in used.items()}
    add("ease of use: import", "s", imports, int(timing["import_repeats"]))
    sizes = {name: ease.megabytes(name) for name in set(used.values())}
    add("ease of use: installed, with requirements", "MB", {side: sizes[n] for side, n in used.items()})
    lines = ease.program_lines()
    add("ease of use: lines, deep autoencoder", "lines", {side: lines.get(n) for side, n in used.items()})
    return rows


def _speedups(measured: Measured) -> dict[str, dict[str, float]]:
    """Return how many times longer a step takes on the other sides, medians of steps timed in turn."""
    found = {}
    for name, sides in measured.times.items():
        ours = sides["nnx"]["microseconds_per_step"]
        found[name] = {s: v["microseconds_per_step"] / ours for s, v in sides.items() if s != "nnx"}
    if measured.fit_seconds is not None:
        ours = measured.times["xor_deep"]["nnx"]["microseconds_per_step"]
        found["xor_fit"] = {"keras": 1e6 * measured.fit_seconds / ours}
    return found


def _log(measured: Measured, name: str) -> list[list[float | None]]:
    """Return [epoch, the loss of each side, reported] for each epoch that is logged."""
    keep, every = measured.log_every[name]
    curves = measured.losses[name]
    rows: list[list[float | None]] = []
    for position in range(0, len(curves["nnx"]), every // keep):
        epoch = position * keep
        values = [float(curve[position]) for curve in curves.values()]
        rows.append([epoch, *values, REPORTED_LOSSES[name.removeprefix("xor_")].get(epoch)])
    return rows


def _floats(values: Any) -> list[float]:
    return [float(value) for value in np.ravel(values)]


# ---------------------------------------------------------------------------- for people


def tables(result: Result) -> list[Table]:
    """Return the tables of a comparison; where the loss curves do not agree, only the table that says so."""
    metrics = result.metrics
    checks = metrics["agreement"].values()
    sides = [side for side in TITLES if side == "nnx" or any(side in check for check in checks)]
    agreement = _agreement(metrics["agreement"], sides[1:])
    if not metrics["agree"]:
        return [agreement]
    rows = [_text(row, sides) for row in metrics["table"]]
    title = f"{_together(['nnx', *_others(sides)])} on {result.dataset}"
    found = [
        _speedup_table(metrics["speedup"], sides[1:]),
        Table(title, ("", *_titles(sides), "repeats"), rows),
        agreement,
    ]
    predictions = metrics["xor_predictions"]
    found += [_prediction_table(name, predictions[name], sides) for name in predictions]
    for name, log in metrics["xor_losses"].items():
        found.append(_loss_table(name, log, [side for side in sides if side in predictions[name]]))
    curves = metrics.get("epoch_losses", metrics.get("autoencoder_losses", {}))  # the name of version 0.1
    return found + [_epoch_table(name, of_sides) for name, of_sides in curves.items()]


def _titles(sides: Sequence[str]) -> list[str]:
    return [TITLES[side] for side in sides]


def _others(sides: Sequence[str]) -> list[str]:
    """Return the other frameworks' names."""
    return [f.title for f in FRAMEWORKS.values() if any(side in f.sides for side in sides)]


def _together(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]


def _agreement(checks: dict[str, dict[str, Any]], sides: Sequence[str]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            f"{PROBLEMS[check['problem']]}, {check['dtype']}", f"{check['steps']}",
            *(text(check[side]) if side in check else "–" for side in sides),
            f"{check['tolerance']:.0e}", "yes" if check["agree"] else "NO",
        )
        for check in checks.values()
    ]  # fmt: skip
    header = ("largest relative difference", "steps", *_titles(sides), "tolerance", "agree")
    return Table(f"Do the losses of {_together(['nnx', *_others(sides)])} agree, step by step?", header, rows)


def _text(row: dict[str, Any], sides: Sequence[str]) -> tuple[str, ...]:
    formats = {"share": "{:.4f}", "mse": "{:.5f}", "lines": "{:.0f}", "MB": "{:,.0f} MB"}
    unit = row["unit"]
    form = step_time if unit == "µs" else formats.get(unit, f"{{:.3g}} {unit}".rstrip()).format
    values = ("–" if row.get(side) is None else form(row[side]) for side in sides)
    return (row["what"], *values, "–" if row["repeats"] is None else str(row["repeats"]))


def _speedup_table(speedup: dict[str, dict[str, float]], sides: Sequence[str]) -> Table:
    def ratio(value: float) -> str:
        return f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×"

    rows = [
        (PROBLEMS[name], *(ratio(values[side]) if side in values else "–" for side in sides))
        for name, values in speedup.items()
    ]
    title = f"A step in {_together(_others(sides))} takes so many times as long as in nnx"
    return Table(title, ("", *_titles(sides)), rows)


def _prediction_table(name: str, predictions: dict[str, Any], sides: Sequence[str]) -> Table:
    reported, shown = predictions["reported"], [side for side in sides if side in predictions]
    rows = [
        (
            case, str(target), *(f"{predictions[side][i]:.4f}" for side in shown),
            *(f"{values[i]:.3f}" for values in reported.values()),
        )
        for i, (case, target) in enumerate(CASES)
    ]  # fmt: skip
    return Table(f"{PROBLEMS[name]}: predictions", ("input", "target", *_titles(shown), *reported), rows)


def _loss_table(name: str, log: list[list[float | None]], sides: Sequence[str]) -> Table:
    rows = [
        (f"{int(epoch or 0)}", *("–" if value is None else f"{value:.5f}" for value in values))
        for epoch, *values in log
    ]
    return Table(f"{PROBLEMS[name]}: losses", ("epoch", *_titles(sides), "reported"), rows)


def _epoch_table(name: str, curves: dict[str, list[float]]) -> Table:
    rows = [
        (str(epoch), *(f"{value:.5f}" for value in values))
        for epoch, values in enumerate(zip(*curves.values(), strict=True), start=1)
    ]
    return Table(f"{PROBLEMS[name]}: training loss", ("epoch", *_titles(list(curves))), rows)


# ---------------------------------------------------------------------------- figures and the verdict


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw one figure for each array ``<what>_nnx``, with the other frameworks' arrays of the same name.

    The losses of an agreement are for steps. All others are for the epochs ``<what>_epochs``, or for every
    epoch.
    """
    drawn, arrays = {}, result.arrays
    for name in [key.removesuffix("_nnx") for key in arrays if key.endswith("_nnx")]:
        curves = {label: arrays[f"{name}_{s}"] for s, label in TITLES.items() if f"{name}_{s}" in arrays}
        drawn[f"{name}_losses"] = reports.compare_curves(
            curves,
            x=arrays.get(f"{name}_epochs"),
            xlabel="step" if name.startswith("agreement_") else "epoch",
            title=f"{name}: all from the same weights",
            log_scale=True,
        )
    return drawn


def verdict(result: Result) -> str:
    """Compare a step of the deep autoencoder with that of the fastest other framework.

    If it was not compared, compare a step of a classifier.
    """
    speedup = result.metrics.get("speedup", {})
    network = next((name for name in ("deep", CLASSIFIER, CONVOLUTIONAL) if speedup.get(name)), None)
    if network is None:
        return ""
    side, ratio = min(speedup[network].items(), key=lambda item: item[1])
    slower, faster = {"keras_xla": "Keras with XLA"}.get(side, TITLES.get(side, side)), "nnx"
    if ratio < 1.0:
        slower, faster, ratio = faster, slower, 1.0 / ratio
    return (
        f"With equal losses, a step of the {PROBLEMS[network]} takes "
        f"{ratio:.2g} times as long in {slower} as in {faster}."
    )
