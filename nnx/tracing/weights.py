"""Explain one weight: its gradient as a sum written out, and its update term by term."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnx.errors import ConfigurationError
from nnx.tracing.formulas import is_dense
from nnx.tracing.result import LayerTrace
from nnx.tracing.updates import Line, update_lines

if TYPE_CHECKING:
    from nnx.tracing.result import Trace

NAMED = re.compile(r"\s*(?P<name>[\w.]+)\s*\[(?P<index>[\s\d,]*)\]\s*")


@dataclass(frozen=True)
class Summand:
    """One summand of a gradient of a dense layer: ``x · dz`` in one row.

    Attributes
    ----------
    row : int
    position : int
        The position in the row, if a row has several; else 0.
    x, dz : float
        The weight's input (1 for a bias), and the slope of the loss at its unit.
    """

    row: int
    position: int
    x: float
    dz: float

    @property
    def product(self) -> float:
        """Return x · dz."""
        return self.x * self.dz


@dataclass(frozen=True)
class Weight:
    """One weight in the step.

    Attributes
    ----------
    name : str
        Such as ``"dense_1.W"``.
    index : tuple of int
    layer : LayerTrace
    before, gradient, clipped, after : float
        See `ParameterTrace`.
    summands : tuple of Summand
        For a dense layer, the terms of the gradient; empty for other layers.
    rest : float
        The gradient minus the summands: what a `TiedDense` with the same weight adds, or a term of the loss.
        0 if it is only rounding.
    update : tuple of Line
        The terms of the optimizer, from the gradient to the new weight.
    """

    name: str
    index: tuple[int, ...]
    layer: LayerTrace
    before: float
    gradient: float
    clipped: float
    after: float
    summands: tuple[Summand, ...]
    rest: float
    update: tuple[Line, ...]

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(map(str, self.index))}]"


def explain(trace: Trace, weight: str) -> Weight:
    """Explain a weight by its name and index; `Trace.weight` describes it."""
    name, index = _found(trace, weight) if weight else _largest(trace)
    parameter = trace.parameter(name)
    layer = _owner(trace, name)
    summands = _summands(layer, name.rpartition(".")[2], index)
    gradient = float(parameter.gradient[index])
    rest = gradient - sum(one.product for one in summands) if summands else 0.0
    size = sum(abs(one.product) for one in summands) + abs(gradient)
    rounding = 2.0**-8 if trace.network.precision == "bfloat16" else np.finfo(parameter.gradient.dtype).eps
    if abs(rest) <= 64 * float(rounding) * size:
        rest = 0.0
    update = update_lines(parameter, index, trace.step, trace.scale)
    return Weight(
        name, index, layer, float(parameter.before[index]), gradient, float(parameter.clipped[index]),
        float(parameter.after[index]), summands, rest, update,
    )  # fmt: skip


def _found(trace: Trace, weight: str) -> tuple[str, tuple[int, ...]]:
    """Read a weight such as ``"dense_1.W[0, 2]"``."""
    match = NAMED.fullmatch(weight)
    if match is None:
        raise ConfigurationError(
            f"weight {weight!r}: write a parameter and an index, such as dense_1.W[0, 2]"
        )
    parameter = trace.parameter(match["name"])
    index = tuple(int(place) for place in match["index"].split(",") if place.strip())
    shape = parameter.before.shape
    if len(index) != len(shape) or any(place >= size for place, size in zip(index, shape, strict=False)):
        limits = ", ".join(f"0 to {size - 1}" for size in shape)
        raise ConfigurationError(
            f"weight {weight!r}: {match['name']} has the shape {shape}, so the index is [{limits}]"
        )
    return match["name"], index


def _largest(trace: Trace) -> tuple[str, tuple[int, ...]]:
    """Return the weight with the largest gradient in the first layer that has parameters."""
    names = [name for name, one in trace.parameters.items() if one.trainable] or list(trace.parameters)
    if not names:
        raise ConfigurationError("this network has no weight to explain: it has no parameters")
    dense = [name for name in names if is_dense(_owner(trace, name).layer) and name.endswith(".W")]
    name = (dense or names)[0]
    gradient = np.abs(trace.parameters[name].gradient)
    return name, tuple(int(place) for place in np.unravel_index(int(np.argmax(gradient)), gradient.shape))


def _owner(trace: Trace, name: str) -> LayerTrace:
    """Return the layer of a parameter, or the container that computes it in its own passes."""
    recorded = {one.name: one for one in trace.layers}
    owner = name.rpartition(".")[0]
    while owner not in recorded:
        owner = owner.rpartition(".")[0]
    return recorded[owner]


def _summands(layer: LayerTrace, which: str, index: tuple[int, ...]) -> tuple[Summand, ...]:
    """Return the terms x · dz of a weight of a dense layer."""
    if not is_dense(layer.layer) or layer.dy is None or which not in ("W", "b"):
        return ()
    rows = len(layer.y)
    dz = layer.dy.reshape(rows, -1, layer.dy.shape[-1])[:, :, index[-1]]
    ones = np.ones_like(dz)
    x = ones if which == "b" else layer.x.reshape(rows, -1, layer.x.shape[-1])[:, :, index[0]]
    return tuple(
        Summand(row, position, float(x[row, position]), float(dz[row, position]))
        for row in range(rows) for position in range(dz.shape[1])
    )  # fmt: skip
