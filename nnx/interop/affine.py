"""A row times a constant, plus a constant: as layers that nnx has.

It becomes a frozen `BatchNorm` with σ = 1, which computes (x - μ) γ + β in this order: it first subtracts
what is subtracted first. Multiplied out, x γ + (β - μ γ) would lose digits where μ is large.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.parts import Part
from nnx.layers import BatchNorm, Dense, LayerNorm, ReLU

HostArray = np.ndarray[Any, Any]
MOMENTS = ("mean", "variance")
FAR = 8.0  # deviations from zero: multiplied out, three bits are lost
EPSILON = 0.5  # and a running variance of ½, so that σ = 1


class Scaling(Protocol):
    """z = (x - shift) / scale, column by column: arrays of float64, of one number or one for each column."""

    @property
    def shift(self) -> HostArray:
        """What is subtracted."""

    @property
    def scale(self) -> HostArray:
        """What is divided by."""


def changes(scaling: Scaling) -> bool:
    """Whether a scaling changes any number."""
    return bool(scaling.shift.any() or (scaling.scale != 1.0).any())


def exact_type(scaling: Scaling, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The float type in which a scaling loses nothing: float64, or the network's if it only divides."""
    return np.dtype(np.float64) if scaling.shift.any() else dtype


def is_far(layer: BatchNorm, values: dict[str, Any]) -> bool:
    """Whether |μ| is so much larger than σ that x γ + (β - μ γ) loses digits."""
    mean, variance = (np.asarray(values[f"{layer.name}.running_{name}"], np.float64) for name in MOMENTS)
    return bool((np.abs(mean) > FAR * np.sqrt(variance + layer.epsilon)).any())


def affine(mean: Any = 0.0, gamma: Any = 1.0, beta: Any = 0.0) -> Part:
    """(x - μ) γ + β; a single number counts for every feature."""
    layer = BatchNorm(epsilon=EPSILON)
    layer.trainable = False
    values = {"gamma": gamma, "beta": beta, "running_mean": mean, "running_variance": 0.5}
    return Part(layer, {name: _row(value) for name, value in values.items()})


def is_affine(part: Part) -> bool:
    """Whether a part is what `affine` makes."""
    layer, values = part
    return (
        isinstance(layer, BatchNorm)
        and layer.epsilon == EPSILON
        and not layer.trainable
        and bool((values["running_variance"] == 0.5).all())
    )


def shift_by(parts: list[Part], amount: Any) -> list[Part]:
    """`amount` added to what the parts compute."""
    amount = _row(amount)
    if parts and is_affine(parts[-1]) and bool((parts[-1].values["gamma"] == 1.0).all()):
        return _changed(parts, running_mean=parts[-1].values["running_mean"] - amount)
    for kind, name in ((Dense, "b"), (BatchNorm, "beta"), (LayerNorm, "beta")):
        if parts and isinstance(parts[-1].layer, kind):
            return _changed(parts, **{name: parts[-1].values[name] + amount})
    return [*parts, affine(mean=-amount)]


def scale_by(parts: list[Part], factor: Any) -> list[Part]:
    """What the parts compute, times `factor`."""
    factor = _row(factor)
    if parts and isinstance(parts[-1].layer, (BatchNorm, LayerNorm)):
        values = parts[-1].values
        return _changed(parts, gamma=values["gamma"] * factor, beta=values["beta"] * factor)
    _finite(factor)
    return [*parts, affine(gamma=factor)]


def clip(parts: list[Part], low: Any = None, high: Any = None) -> list[Part]:
    """Bound what the parts compute: max(x, a) = a + ReLU(x - a), min(x, b) = b - ReLU(b - x)."""
    if low is not None:
        parts = _relu_from(parts, 1.0, low)
    return parts if high is None else _relu_from(parts, -1.0, high)


def _relu_from(parts: list[Part], sign: float, bound: Any) -> list[Part]:
    bound = _finite(_row(bound))
    if sign > 0.0 and not bound.any():
        return [*parts, Part(ReLU(), {})]
    to = [*parts, affine(mean=bound, gamma=sign), Part(ReLU(), {})]
    return [*to, affine(gamma=sign, beta=bound)]


def _changed(parts: list[Part], **values: HostArray) -> list[Part]:
    for value in values.values():
        _finite(value)
    *before, last = parts
    return [*before, Part(last.layer, last.values | values)]


def _finite(value: HostArray) -> HostArray:
    if not np.isfinite(value).all():
        raise ConfigurationError("its constants lead to numbers that are not finite")
    return value


def _row(value: Any) -> HostArray:
    return np.atleast_1d(np.asarray(value, np.float64))
