"""Follow the gradient of one weight along one path: from the loss back through one unit of each layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnx.errors import ConfigurationError
from nnx.layers.tied import TiedDense
from nnx.tracing.formulas import activation_numbers, is_activation, is_dense, loss_numbers, number
from nnx.tracing.result import HostArray, LayerTrace
from nnx.tracing.weights import Weight, explain

if TYPE_CHECKING:
    from nnx.tracing.result import Trace

UNIT = re.compile(r"\s*(?P<name>[\w.]+)\s*\[\s*(?P<unit>\d+)\s*\]\s*")


@dataclass(frozen=True)
class PathStep:
    """One layer on a path.

    Attributes
    ----------
    layer : str
        The layer's name; ``"loss"`` for the first step.
    unit : int
        The number of the layer's output on the path, counted in a row.
    input : int
        The number of its input on the path.
    symbols, numbers : str
        The factor of this layer in the chain rule.
    factor : float or None
        Its value; None if the layer's derivative is not a single number that is known.
    gradient : float or None
        ∂L/∂(input on the path), over all paths.
    """

    layer: str
    unit: int
    input: int
    symbols: str
    numbers: str
    factor: float | None
    gradient: float | None


@dataclass(frozen=True)
class Path:
    """A path from the loss back to a weight.

    Attributes
    ----------
    weight : Weight
    row : int
    steps : tuple of PathStep
        From the loss to the weight.
    product : float or None
        The product of all factors: the part of the gradient that comes along this path, in this row.
    """

    weight: Weight
    row: int
    steps: tuple[PathStep, ...]

    @property
    def product(self) -> float | None:
        """Return the product of the factors; None if one is not known."""
        factors = [step.factor for step in self.steps]
        return None if None in factors else float(np.prod([one for one in factors if one is not None]))

    def units(self) -> dict[str, tuple[int, int]]:
        """Return for each layer on the path the numbers of its input and output."""
        return {step.layer: (step.input, step.unit) for step in self.steps}


def follow(trace: Trace, weight: str, row: int | None, through: tuple[str, ...]) -> Path:
    """Follow a path; `Trace.path` describes it."""
    chosen = explain(trace, weight)
    wanted = dict(_unit(trace, text) for text in through)
    if row is not None and not 0 <= row < trace.rows:
        raise ConfigurationError(f"row {row}: the batch has the rows 0 to {trace.rows - 1}")
    row, unit, first = _start(chosen, row)
    if wanted.get(chosen.layer.name, unit) != unit:
        raise ConfigurationError(f"the path ends at {chosen}, which belongs to {chosen.layer.name}[{unit}]")
    steps = [first]
    for one in _after(trace, chosen.layer):
        if one.fused == "the loss":
            break
        step = _through(trace, one, row, unit, wanted.get(one.name))
        unit = step.unit
        if not one.layer.is_view:
            steps.append(step)
    steps.append(_loss(trace, row, unit))
    return Path(chosen, row, tuple(reversed(steps)))


def _unit(trace: Trace, text: str) -> tuple[str, int]:
    """Read a unit such as ``"dense_2[5]"``."""
    match = UNIT.fullmatch(text)
    try:
        layer = trace[match["name"] if match else text]
    except KeyError as error:
        raise ConfigurationError(f"through {text!r}: {error.args[0]}") from None
    units = layer.y[0].size
    if match is None or int(match["unit"]) >= units:
        only = f"{layer.name}[0], its only unit"
        known = f"one of the units {layer.name}[0] to [{units - 1}]" if units > 1 else only
        raise ConfigurationError(f"through {text!r}: name {known}")
    return layer.name, int(match["unit"])


def _start(weight: Weight, row: int | None) -> tuple[int, int, PathStep]:
    """Return the row, the unit of the weight's layer, and the step at the weight."""
    layer, gradients = weight.layer, weight.layer.dy
    assert gradients is not None or weight.layer.dx is not None or not weight.summands
    summands = [one for one in weight.summands if row in (None, one.row)]
    if summands:
        best = max(summands, key=lambda one: abs(one.product))
        unit = best.position * layer.y.shape[-1] + weight.index[-1]
        source = best.position * layer.x.shape[-1] + (weight.index[0] if len(weight.index) > 1 else 0)
        symbols = "· 1, as b is added" if len(weight.index) == 1 else f"· x[{source}]"
        return (
            best.row,
            unit,
            PathStep(layer.name, unit, source, symbols, number(best.x), best.x, best.product),
        )
    if gradients is None:
        return row or 0, 0, PathStep(layer.name, 0, 0, "", "", None, None)
    flat = np.abs(gradients).reshape(len(gradients), -1)
    row = int(np.argmax(flat.max(axis=1))) if row is None else row
    unit = int(np.argmax(flat[row]))
    text = "its backward pass sums over many places"
    return row, unit, PathStep(layer.name, unit, 0, "· …", text, None, weight.gradient)


def _after(trace: Trace, start: LayerTrace) -> Iterator[LayerTrace]:
    """Yield the layers after one: those in its branch, then those after the container that holds it."""
    name = start.name
    while True:
        level = name.rpartition(".")[0]
        same = [one for one in trace.layers if one.name.rpartition(".")[0] == level]
        place = [one.name for one in same].index(name)
        branch = _branch(trace, name)
        for one in same[place + 1 :]:
            if branch is None or one.name in branch:
                yield one
        if not level:
            return
        name = level


def _branch(trace: Trace, name: str) -> set[str] | None:
    """Return the names of the layers in the same branch of a container; None outside of containers."""
    level = name.rpartition(".")[0]
    if not level:
        return None
    for branch in trace[level].layer.branches:
        names = {layer.name for layer in branch}
        if name in names:
            return names
    return None


def _through(trace: Trace, one: LayerTrace, row: int, source: int, wanted: int | None) -> PathStep:
    """Return the step through one layer, from an input to the output with the largest part of the slope."""
    gradient = None if one.dx is None else float(one.dx[row].reshape(-1)[source])
    if is_dense(one.layer) and one.dy is not None:
        return _dense(trace, one, row, source, wanted, gradient)
    if is_activation(one.layer) and one.layer.kind == "softmax":  # type: ignore[attr-defined]
        return _softmax(one, row, source, wanted, gradient)
    record = vars(type(one.layer)).get("record")
    if one.layer.is_view or (record is not None and record.elementwise):
        if wanted not in (None, source):
            raise _unreachable(one, wanted, source)
        return _elementwise(one, row, source, gradient)
    sizes = np.abs(one.dy if one.dy is not None else one.y)[row].reshape(-1)
    unit = int(np.argmax(sizes)) if wanted is None else wanted
    return PathStep(one.name, unit, source, "· …", "its backward pass gives dx from dy", None, gradient)


def _unreachable(one: LayerTrace, wanted: int | None, source: int) -> ConfigurationError:
    return ConfigurationError(
        f"{one.name}[{wanted}] does not depend on input {source} of {one.name}, which is on the path: "
        "choose another unit"
    )


def _dense(
    trace: Trace, one: LayerTrace, row: int, source: int, wanted: int | None, gradient: float | None
) -> PathStep:
    assert one.dy is not None
    position, i = divmod(source, one.x.shape[-1])
    W = weights_before(trace, one)
    dz = one.dy[row].reshape(-1, one.dy.shape[-1])[position]
    unit = int(np.argmax(np.abs(dz * W[i]))) if wanted is None else wanted - position * len(dz)
    if not 0 <= unit < len(dz):
        raise _unreachable(one, wanted, source)
    value = float(W[i, unit])
    return PathStep(
        one.name, position * len(dz) + unit, source, f"· W[{i}, {unit}]", number(value), value, gradient
    )


def weights_before(trace: Trace, one: LayerTrace) -> HostArray:
    """Return W of a dense layer before the step; of a `TiedDense` that of the other layer, transposed."""
    if isinstance(one.layer, TiedDense):
        return trace.parameters[f"{one.layer.other.name}.W"].before.T
    return trace.parameters[f"{one.name}.W"].before


def _elementwise(one: LayerTrace, row: int, source: int, gradient: float | None) -> PathStep:
    z, y = (float(array[row].reshape(-1)[source]) for array in (one.x, one.y))
    dy = None if one.dy is None else float(one.dy[row].reshape(-1)[source])
    if one.layer.is_view:
        return PathStep(one.name, source, source, "", "", 1.0, gradient)
    if is_activation(one.layer):
        from nnx.tracing.formulas import slope_of

        return PathStep(
            one.name, source, source, "· f'(z)", activation_numbers(one.layer, z, y)[1],
            slope_of(one.layer, z, y), gradient,
        )  # fmt: skip
    value = None if not dy or gradient is None else gradient / dy
    return PathStep(
        one.name, source, source, "· ∂y/∂x", "" if value is None else number(value), value, gradient
    )


def _softmax(one: LayerTrace, row: int, source: int, wanted: int | None, gradient: float | None) -> PathStep:
    position, j = divmod(source, one.y.shape[-1])
    y = one.y[row].reshape(-1, one.y.shape[-1])[position].astype(np.float64)
    slopes = y * ((np.arange(len(y)) == j) - y[j])
    dy = np.ones(len(y)) if one.dy is None else one.dy[row].reshape(-1, len(y))[position]
    unit = int(np.argmax(np.abs(dy * slopes))) if wanted is None else wanted % len(y)
    symbols = f"· y[{unit}] (1 − y[{unit}])" if unit == j else f"· (−y[{unit}] y[{j}])"
    return PathStep(
        one.name,
        position * len(y) + unit,
        source,
        symbols,
        number(slopes[unit]),
        float(slopes[unit]),
        gradient,
    )


def _loss(trace: Trace, row: int, unit: int) -> PathStep:
    gradient = float(trace.loss.dy[row].reshape(-1)[unit])
    last = trace.layers[-1]
    symbols = "dL/dz" if last.fused == "the loss" else "dL/dy"
    numbers = loss_numbers(trace.loss, row, unit) or number(gradient)
    return PathStep("loss", 0, unit, f"{symbols}[{unit}]", numbers, gradient, gradient)
