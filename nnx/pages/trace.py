"""Write the page of a trace: one HTML file in which a training step is walked through and computed again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError
from nnx.pages.descriptions import describe
from nnx.pages.put_together import filled
from nnx.tracing import Trace, formulas
from nnx.tracing.windows import window
from nnx.web_pages import page_path, write_page

MAX_ROWS, MAX_PARAMETERS = 64, 100_000
SHOWN = 8  # units of a layer in the picture
TOLERANCES = {"float64": 1e-9}  # allowed difference, as a share of the largest number of an array
FLOAT32 = 1e-4
_PARTS = ("numbers", "lines", "model", "path", "picture", "tables", "words", "chosen", "main")


def write_trace(
    trace: Trace, path: str | os.PathLike[str], weight: str = "", row: int | None = None,
    through: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """Write the page of a trace as one HTML file that needs no network and no other file.

    The reader steps through the training step, changes inputs and weights, and sees everything computed again
    by the pages' engine. The page says whether the engine's numbers agree with those of the trace.

    Parameters
    ----------
    trace : Trace
    path : path-like
        The file.
    weight, row, through
        What the page shows first, as for `Trace.path`.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    ConfigurationError
        If the file's name does not end in .html, the pages' engine does not have a layer, the loss or the
        optimizer, or the trace is too large for a page.
    OutputError
        If the file cannot be written.
    """
    place = page_path(path, "the page of a trace")
    scripts = [f"trace_parts/{part}.js" for part in _PARTS]
    text = filled(
        "trace_parts/page.html", "trace_parts/style.css", scripts, given(trace, weight, row, through)
    )
    return write_page(text, place)


def given(trace: Trace, weight: str, row: int | None, through: tuple[str, ...]) -> dict[str, Any]:
    """Return what the page's scripts get: the network before the step, the batch, and the trace's numbers."""
    network, loss = trace.network, trace.loss
    if trace.rows > MAX_ROWS or network.parameter_count() > MAX_PARAMETERS:
        raise ConfigurationError(
            f"a page shows up to {MAX_ROWS} rows and {MAX_PARAMETERS:,} parameters, not {trace.rows} and "
            f"{network.parameter_count():,}: trace fewer rows (--rows), or use the text"
        )
    described = describe(network, loss.loss, trace.optimizer)  # refuses what the engine does not have
    path = trace.path(weight, row, through)
    targets = formulas.dense_targets(loss.y_true, loss.y_pred)
    if targets is None:
        raise ConfigurationError(f"{loss.loss!r}: a page needs one target for each output")
    return {
        "description": _before(described, trace),
        "rows": trace.rows,
        "x": _numbers(trace.layers[0].x),
        "y": _numbers(targets),
        "layers": [_layer(one) for one in trace.layers],
        "loss": dict(zip(("whole", "each"), formulas.of_loss(loss), strict=True)) | {"kind": loss.kind},
        "units": _units(trace, path.units()),
        "weight": {"name": path.weight.name, "index": list(path.weight.index)},
        "row": path.row,
        "expected": _expected(trace),
        "tolerance": TOLERANCES.get(network.precision, FLOAT32),
        "precision": network.precision,
    }


def _before(described: dict[str, Any], trace: Trace) -> dict[str, Any]:
    """Return the description of the network as it was before the step."""
    parameters = trace.parameters
    names = sorted({slot for one in parameters.values() for slot in one.slots})
    slots = {
        slot: [number for one in parameters.values() for number in _numbers(one.slots[slot][0])]
        for slot in names
    }
    described["weights"] |= {name: _numbers(one.before) for name, one in parameters.items()}
    described["weights"] |= {name: _numbers(before) for name, (before, _) in trace.statistics.items()}
    described["optimizer"]["learning_rate"] *= trace.scale
    steps = described["state"]["steps"] - 1
    described["state"] = {"steps": steps, "optimizerSteps": trace.step - 1, "slots": slots}
    return described


def _layer(one: Any) -> dict[str, Any]:
    """Return the name of a layer, and its formulas."""
    forward, backward = formulas.of_layer(one.layer)
    activation = formulas.is_activation(one.layer)
    kind = one.layer.kind if activation else ""
    return {
        "name": one.name, "kind": one.kind, "forward": forward, "backward": backward, "fused": one.fused,
        "dense": formulas.is_dense(one.layer), "elementwise": one.layer.record.elementwise,
        "activation": kind, "numbers": formulas.NUMBERS.get(kind),
    }  # fmt: skip


def _units(trace: Trace, on_path: dict[str, tuple[int, int]]) -> list[list[int]]:
    """Return the units to draw: of the input, and of each layer."""
    sizes = [trace.layers[0].x[0].size, *(one.y[0].size for one in trace.layers)]
    chosen: list[list[int]] = [[] for _ in sizes]
    for place, one in enumerate(trace.layers):
        source, unit = on_path.get(one.name, (-1, -1))
        chosen[place].append(source)
        chosen[place + 1].append(unit)
    return [window(size, some, SHOWN) for size, some in zip(sizes, chosen, strict=True)]


def _expected(trace: Trace) -> dict[str, Any]:
    """Return the numbers of the trace, which the page compares with those of the engine."""
    layers = [
        {
            name: None if (array := getattr(one, name)) is None else _numbers(array)
            for name in ("y", "dy", "dx")
        }
        for one in trace.layers
    ]
    parameters = {
        name: {"gradient": _numbers(one.gradient), "after": _numbers(one.after)}
        for name, one in trace.parameters.items()
    }
    return {"loss": trace.loss.total, "layers": layers, "parameters": parameters}


def _numbers(array: Any) -> list[float]:
    """Return an array as a flat list; float64 holds every number of the other types exactly."""
    found: list[float] = np.asarray(array, np.float64).ravel().tolist()
    return found
