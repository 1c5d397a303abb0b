"""Prepare one run for the page: the charts, pictures and tables that the run has data for."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from nnx.errors import FileFormatError
from nnx.experiments import Result
from nnx.experiments.compare.sides import TITLES
from nnx.experiments.variational import ACTIVE
from nnx.experiments.xor import CASES, MARGIN
from nnx.reports import charts
from nnx.reports.charts import number
from nnx.reports.evidence import Evidence
from nnx.reports.facts import command
from nnx.reports.filters import SIGNED
from nnx.reports.statistics import by_kind
from nnx.training.statistics import KINDS

MOST_TARGETS = 6  # most targets of a regression that are drawn
COINCIDE = 0.02  # curves with a smaller relative difference look like one


@dataclass(frozen=True)
class Run:
    """A run in a report: its name on the page, its result, and its evidence (see `nnx.reports.evidence`)."""

    name: str
    result: Result
    evidence: Evidence


@dataclass(frozen=True)
class Shown:
    """What the page shows of one run; a part without data is None or empty."""

    run: Run
    command: str
    config_json: str
    images: dict[str, Any] | None
    code_map: charts.Map | None
    confusion: dict[str, Any] | None
    surface: dict[str, Any] | None
    values: dict[str, Any] | None
    convolutions: dict[str, Any] | None
    variational: dict[str, Any] | None
    tables: list[Any]


def shown(run: Run) -> Shown:
    """Prepare a run for the page; a result whose content is not valid is a FileFormatError."""
    kept, result = run.evidence, run.result
    try:
        points = ("points", "point_labels", "shares")
        return Shown(
            run=run,
            command=command(result),
            config_json=json.dumps(result.config, indent=2),
            images=_images(kept) if "originals" in kept else None,
            code_map=charts.code_map(*(kept[name] for name in points)) if "points" in kept else None,
            confusion=_confusion(run) if "confusion_matrix" in result.metrics else None,
            surface=_surface(run) if "surface" in kept else None,
            values=_values(run) if "values_true" in kept else None,
            convolutions=_convolutions(kept) if "filters" in kept and "maps" in kept else None,
            variational=_variational(kept)
            if {"samples", "interpolation", "code_kl"} <= kept.keys()
            else None,
            tables=_comparison(result),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _unfit(run, error) from error


def curves(runs: list[Run]) -> list[charts.Chart]:
    """Return a chart for each metric, with all runs in it; training is solid, validation is dashed."""
    recorded: dict[str, list[charts.Curve]] = {}
    for place, run in enumerate(runs):
        history = run.result.history
        for metric, values in ({} if history is None else history.metrics).items():
            name = metric.removeprefix("val_")
            role = ["training", "validation"][name != metric]
            alone = len(runs) == 1
            label = role if alone else f"{run.name}, {role}"
            style = int(name != metric) if alone else place
            curve = charts.Curve(label, history.epochs, values, style, name != metric)  # type: ignore[union-attr]
            recorded.setdefault(name, []).append(curve)
        before = run.result.metrics.get("pretraining_loss")
        if isinstance(before, list):
            curve = charts.Curve(run.name, range(1, len(before) + 1), before, place)
            recorded.setdefault("loss of pretraining", []).append(curve)
    drawn = [charts.chart(name, lines, log="accuracy" not in name) for name, lines in recorded.items()]
    for run in runs:
        drawn += _statistics(run, "" if len(runs) == 1 else f"{run.name}, ")
        drawn += _compared(run, "" if len(runs) == 1 else f"{run.name}, ")
    return [one for one in drawn if one is not None]


def _statistics(run: Run, prefix: str) -> list[charts.Chart | None]:
    """Return a chart for each kind of weight statistics, with a line for each layer."""
    history, searched = run.result.history, run.result.metrics.get("rate_search")
    drawn = []
    for kind, layers in by_kind({} if history is None else history.statistics).items():
        lines = [
            charts.Curve(layer, history.epochs, values, place)  # type: ignore[union-attr]
            for place, (layer, values) in enumerate(layers.items())
        ]
        drawn.append(charts.chart(f"{prefix}{KINDS[kind]}", lines, log=kind != "dead_units"))
    if isinstance(searched, dict):
        rates, losses = searched["rates"], searched["smoothed"]
        curve = charts.Curve("smoothed loss", range(1, len(losses) + 1), losses)
        title = f"{prefix}search for a learning rate, which rises from {rates[0]:.3g} to {rates[-1]:.3g}"
        drawn.append(charts.chart(title, [curve], "step"))
    return drawn


def _compared(run: Run, prefix: str) -> list[charts.Chart | None]:
    """Return charts of the losses of nnx and the other frameworks, if a comparison stored them."""
    kept, drawn = run.evidence, []
    for name in [key.removesuffix("_nnx") for key in kept if key.endswith("_nnx")]:
        lines = []
        for style, (side, label) in enumerate(TITLES.items()):
            values = kept.get(f"{name}_{side}")
            if values is not None and values.ndim == 1 and values.dtype.kind in "fiu":
                epochs = kept.get(f"{name}_epochs", np.arange(1, len(values) + 1))
                if epochs.shape != values.shape:
                    raise _unfit(run, ValueError(f"{name}_epochs"))
                lines.append(charts.Curve(label, epochs.tolist(), values.tolist(), style, style > 0))
        step = "step" if name.startswith("agreement_") else "epoch"
        title = f"{prefix}{name.replace('_', ' ')} loss"
        drawn.append(charts.chart(title, lines, step))
        if lines and lines[0].label == TITLES["nnx"] and (apart := _apart(lines)):
            drawn.append(charts.chart(f"{title}: relative difference to nnx", apart, step))
    return drawn


def _apart(lines: list[charts.Curve]) -> list[charts.Curve]:
    """Return the differences of the other curves from the first, if the curves look like one.

    A difference of exactly 0 is left out, because the axis is logarithmic.
    """
    first = np.asarray(lines[0].values, np.float64)
    found: list[charts.Curve] = []
    largest = 0.0
    for line in lines[1:]:
        with np.errstate(all="ignore"):
            difference = np.abs(np.asarray(line.values, np.float64) - first) / np.abs(first)
        known = difference[np.isfinite(difference)]
        largest = max(largest, float(known.max(initial=0.0)))
        values = [float(value) if np.isfinite(value) and value > 0 else None for value in difference]
        found.append(replace(line, values=values))
    return found if largest < COINCIDE and len(first) > 1 else []


def _images(kept: Evidence) -> dict[str, Any]:
    names = ("originals", "reconstructions", "image_labels", "image_errors")
    pairs = [
        {"label": str(label), "original": digit(x), "reconstruction": digit(y), "error": f"{error:.4f}"}
        for x, y, label, error in zip(*(kept[name] for name in names), strict=True)
    ]
    return {"pairs": pairs, "many": _columns(len(pairs), 12), "few": _columns(len(pairs), 5)}


def _columns(count: int, most: int) -> int:
    """Return the number of columns, up to `most`, that leaves the fewest empty places in the last row."""
    return max(range(max(1, most // 2), most + 1), key=lambda columns: (-(-count % columns), columns))


def _confusion(run: Run) -> dict[str, Any]:
    """Return the cells with their counts, each with the digits that were misread that way."""
    matrix, kept = run.result.metrics["confusion_matrix"], run.evidence
    counts = np.asarray(matrix, dtype=np.float64)  # sums of weights, if rows have weights
    if np.array_equal(counts, np.round(counts)):
        counts = counts.astype(np.int64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.min(initial=0) < 0:
        raise ValueError("confusion_matrix is not square")
    known = kept.get("classes", run.result.metrics.get("classes", range(len(counts))))
    classes = [str(label) for label in known]
    if len(classes) != len(counts):
        raise ValueError("confusion_matrix and classes differ in size")
    wrong = counts - np.diag(np.diag(counts))
    digits = _misread(kept)
    rows: list[dict[str, Any]] = []
    for true, row in zip(classes, counts, strict=True):
        cells = []
        for other, count in zip(classes, row, strict=True):
            same = true == other
            strength = count / max((counts if same else wrong).max(), 1)
            cells.append({"predicted": other, "count": round(count.item(), 2), "right": same,
                          "heat": round(100 * float(strength) ** (1.0 if same else 0.6)),
                          "digits": digits.get((true, other), [])})  # fmt: skip
        total = row.sum().item()
        share = f"{row[len(rows)] / total:.1%}" if total else "–"
        rows.append({"true": true, "cells": cells, "share": share})
    right, total = np.trace(counts).item(), counts.sum().item()
    form = "," if isinstance(total, int) else ",.2f"
    heading = f"{right:{form}} of {total:{form}} right" + (f" ({right / total:.2%})" if total else "")
    return {"classes": classes, "rows": rows, "heading": heading, "images": bool(digits)}


def _misread(kept: Evidence) -> dict[tuple[str, str], list[dict[str, str]]]:
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    names = ("misread", "misread_true", "misread_predicted", "misread_index")
    for image, true, other, index in zip(*(kept.get(name, ()) for name in names), strict=True):
        shown = {"uri": digit(image), "index": f"{int(index):,}"}
        found.setdefault((str(true), str(other)), []).append(shown)
    return found


def _convolutions(kept: Evidence) -> dict[str, Any]:
    """Return the filters of the first convolution, and the maps of each image."""
    filters = [picture(tile, signed=True) for tile in kept["filters"]]
    names = ("map_images", "map_labels", "maps")
    images = [
        {"label": str(label), "uri": picture(image), "maps": digit(maps)}
        for image, label, maps in zip(*(kept[name] for name in names), strict=True)
    ]
    return {"filters": filters, "images": images, "layers": [str(name) for name in kept["map_layers"]]}


def _variational(kept: Evidence) -> dict[str, Any]:
    """Return new images, lines of images between two, and the divergence of each number of the code."""
    divergence, spread = kept["code_kl"].astype(np.float64), kept["code_spread"].astype(np.float64)
    order = np.argsort(-divergence, kind="stable")
    rows = [(f"{i + 1}", number(divergence[i]), number(spread[i]), "yes" if spread[i] > ACTIVE else "no")
            for i in order]  # fmt: skip
    return {
        "samples": [digit(image) for image in kept["samples"]],
        "walks": [[digit(image) for image in walk] for walk in kept["interpolation"]],
        "bars": charts.bars("KL divergence of each number of the code, in nats", divergence[order]),
        "dim": [not spread[i] > ACTIVE for i in order],
        "rows": rows,
        "active": int((spread > ACTIVE).sum()),
        "limit": ACTIVE,
    }


def _surface(run: Run) -> dict[str, Any]:
    predictions = run.result.metrics["predictions"]
    rows = []
    for (point, target), value in zip(CASES, predictions, strict=True):
        x, y = map(int, point.split())
        across, down = ((place + MARGIN) / (1 + 2 * MARGIN) * 100 for place in (x, y))
        rows.append({"point": point, "target": target, "value": f"{float(value):.4f}",
                     "left": round(across, 2), "top": round(100 - down, 2)})  # fmt: skip
    return {"uri": surface(run.evidence["surface"]), "rows": rows}


def _values(run: Run) -> dict[str, Any]:
    """Return predicted over true values of each target, and its errors."""
    true, predicted = run.evidence["values_true"], run.evidence["values_predicted"]
    errors = run.result.metrics["by_target"]
    drawn = [
        charts.scatter(str(name), true[:, place], predicted[:, place])
        for place, name in enumerate(list(errors)[:MOST_TARGETS])
    ]
    rows = [
        (str(name), [charts.number(one.get(error)) for error in ("mse", "mae", "r2")])
        for name, one in errors.items()
    ]
    return {"charts": [one for one in drawn if one is not None], "rows": rows}


def _comparison(result: Result) -> list[Any]:
    from nnx.experiments import compare

    return compare.tables(result) if "agreement" in result.metrics else []


def _unfit(run: Run, error: Exception) -> FileFormatError:
    reason = f"{type(error).__name__}: {error}"
    return FileFormatError(f"the result of {run.name} does not fit its experiment ({reason}): run it again")


# ------------------------------------------------- pictures as data URIs, so that a page needs no other file


def digit(image: NDArray[np.uint8]) -> str:
    """Return an image of bytes, (height, width), as ink on white: 0 is white, as in the figures."""
    return _png(255 - image)


def picture(image: NDArray[np.uint8], signed: bool = False) -> str:
    """Return an image of bytes, (height, width, channels): three channels are colours, one is ink on white.

    With `signed`, one channel has the colours of `nnx.reports.filters`: 128 is 0.
    """
    if image.shape[2] == 3:
        return _png(image)
    if signed:
        return _png(mpl.colormaps[SIGNED](image[..., 0], bytes=True)[..., :3])
    return digit(image[..., 0])


def surface(values: NDArray[np.uint8]) -> str:
    """Return a plane of bytes in the colours of `decision_surface`. The first row, smallest y, is lowest."""
    colours = mpl.colormaps["PuOr_r"](values[::-1], bytes=True)
    return _png(colours[..., :3])


def _png(pixels: NDArray[Any]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
