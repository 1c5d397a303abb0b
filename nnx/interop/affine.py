"""Express a multiplication by constants and an addition of constants as layers of nnx.

They become a `Rescale`, or change the bias of the `Dense` or the γ and β of the normalization before them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from nnx.errors import ConfigurationError
from nnx.interop.parts import Part
from nnx.layers import BatchNorm, Conv1D, Conv2D, Conv2DTranspose, Dense, LayerNorm, ReLU, Rescale

HostArray = np.ndarray[Any, Any]
MOMENTS = ("mean", "variance")
FAR = 8.0  # |μ| / σ: multiplied out, such a layer loses three bits


class Scaling(Protocol):
    """z = (x - shift) / scale for each column; arrays of float64 with one number, or one for each column."""

    @property
    def shift(self) -> HostArray:
        """Return the numbers to subtract."""

    @property
    def scale(self) -> HostArray:
        """Return the divisors."""


def changes(scaling: Scaling) -> bool:
    """Return whether a scaling changes any number."""
    return bool(scaling.shift.any() or (scaling.scale != 1.0).any())


def exact_type(scaling: Scaling, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type in which a scaling is exact: float64, or the network's if it only divides."""
    return np.dtype(np.float64) if scaling.shift.any() else dtype


def is_far(layer: BatchNorm, values: dict[str, Any]) -> bool:
    """Return whether |μ| is so much larger than σ that x γ + (β - μ γ) loses digits."""
    mean, variance = (np.asarray(values[f"{layer.name}.running_{name}"], np.float64) for name in MOMENTS)
    return bool((np.abs(mean) > FAR * np.sqrt(variance + layer.epsilon)).any())


def far_offset(layer: Rescale) -> bool:
    """Return whether the offset is so large that x · scale + offset in float32 may lose three bits."""
    return bool((np.abs(layer.offset) > FAR).any())


def rescale(scale: Any = 1.0, offset: Any = 0.0) -> Part:
    """Return a layer that computes x · scale + offset; a single number applies to every feature."""
    values = {"scale": _finite(_row(scale)), "offset": _finite(_row(offset))}
    constants = (value[0] if value.size == 1 else value for value in values.values())
    return Part(Rescale(*constants), values)


def shift_by(parts: list[Part], amount: Any) -> list[Part]:
    """Return layers that add `amount` to the output of the parts."""
    amount = _row(amount)
    if parts and isinstance(parts[-1].layer, Rescale):
        *before, (_, values, _) = parts
        return [*before, rescale(values["scale"], values["offset"] + amount)]
    if parts and isinstance(parts[-1].layer, (Conv1D, Conv2D, Conv2DTranspose)):
        return _biased(parts, amount)
    for kind, name in ((Dense, "b"), (BatchNorm, "beta"), (LayerNorm, "beta")):
        if parts and isinstance(parts[-1].layer, kind):
            return _changed(parts, **{name: parts[-1].values[name] + amount})
    return [*parts, rescale(offset=amount)]


def _biased(parts: list[Part], amount: HostArray) -> list[Part]:
    """Return the parts with an amount added to the bias of the last, a convolution, which may have none."""
    layer, values, _ = parts[-1]
    if not layer.use_bias:  # type: ignore[attr-defined]
        layer = type(layer)(**layer.config() | {"use_bias": True})
        parts = [*parts[:-1], Part(layer, values | {"b": np.zeros(1)})]
    return _changed(parts, b=parts[-1].values["b"] + amount)


def scale_by(parts: list[Part], factor: Any) -> list[Part]:
    """Return layers that multiply the output of the parts by `factor`."""
    factor = _row(factor)
    if parts and isinstance(parts[-1].layer, Rescale):
        *before, (_, values, _) = parts
        return [*before, rescale(values["scale"] * factor, values["offset"] * factor)]
    if parts and isinstance(parts[-1].layer, (BatchNorm, LayerNorm)):
        values = parts[-1].values
        return _changed(parts, gamma=values["gamma"] * factor, beta=values["beta"] * factor)
    return [*parts, rescale(factor)]


def clip(parts: list[Part], low: Any = None, high: Any = None) -> list[Part]:
    """Return layers that limit the output: max(x, a) = a + ReLU(x - a), min(x, b) = b - ReLU(b - x)."""
    if low is not None:
        parts = _relu_from(parts, 1.0, low)
    return parts if high is None else _relu_from(parts, -1.0, high)


def _relu_from(parts: list[Part], sign: float, bound: Any) -> list[Part]:
    bound = _finite(_row(bound))
    if sign > 0.0 and not bound.any():
        return [*parts, Part(ReLU(), {})]
    to = [*parts, rescale(sign, -sign * bound), Part(ReLU(), {})]
    return [*to, rescale(sign, bound)]


def _changed(parts: list[Part], **values: HostArray) -> list[Part]:
    for value in values.values():
        _finite(value)
    *before, last = parts
    return [*before, Part(last.layer, last.values | values)]


def _finite(value: HostArray) -> HostArray:
    if not np.isfinite(value).all():
        raise ConfigurationError("its constants give numbers that are not finite")
    return value


def _row(value: Any) -> HostArray:
    return np.atleast_1d(np.asarray(value, np.float64))
