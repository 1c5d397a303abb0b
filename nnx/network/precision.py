"""Which numbers a network computes with: float32, float64, or float32 with bfloat16 factors of products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from nnx.backends import Backend
from nnx.errors import ConfigurationError, DeviceError, nearest
from nnx.layers import Dense, Layer
from nnx.layers.convolution_base import Convolution

PRECISIONS = ("float32", "float64", "bfloat16", "auto")
WIDE = 128  # units of a dense layer from which "auto" may mean bfloat16: small products gain too little


def resolve(precision: str | None, dtype: Any, backend: Backend, layers: Iterable[Layer] = ()) -> str:
    """Return ``"float32"``, ``"float64"`` or ``"bfloat16"``, from the arguments of `Network`.

    ``"auto"`` is bfloat16 if it is faster on the backend with these layers, by a rule and not by a
    measurement, so that the same machine always gives the same numbers.

    Raises
    ------
    ConfigurationError
        If one of the two is unknown, or they contradict each other.
    DeviceError
        As for `check`.
    """
    stored = None if dtype is None else _stored(dtype)
    if precision is None:
        return stored or "float32"
    if not isinstance(precision, str) or precision not in PRECISIONS:
        hint = nearest(precision, PRECISIONS) if isinstance(precision, str) else ""
        raise ConfigurationError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}{hint}")
    if stored is not None and stored != ("float64" if precision == "float64" else "float32"):
        raise ConfigurationError(
            f"precision={precision!r} and dtype={stored!r} contradict each other: leave out dtype"
        )
    if precision == "auto":
        return "bfloat16" if backend.bfloat16_pays and _gain(layers) else "float32"
    check(precision, backend)
    return precision


def check(precision: str, backend: Backend) -> None:
    """Check that a backend can compute with a precision.

    Raises
    ------
    DeviceError
        If it cannot; the text says what is missing, and what works.
    """
    fault = backend.bfloat16_fault() if precision == "bfloat16" else ""
    if fault:
        raise DeviceError(
            f"device {backend.device} ({backend.name}) cannot compute with precision bfloat16: {fault}; "
            "or choose device='numpy', which computes it slowly, or precision='float32'"
        )


def _gain(layers: Iterable[Layer]) -> bool:
    """Return whether a dense layer is wide, and none a convolution, which multiplies in float32 anyway."""
    layers = list(layers)
    wide = any(isinstance(layer, Dense) and layer.units >= WIDE for layer in layers)
    return wide and not any(isinstance(layer, Convolution) for layer in layers)


def _stored(dtype: Any) -> str:
    with contextlib.suppress(TypeError):
        name: str = np.dtype(dtype).name
        if name in ("float32", "float64"):
            return name
    hint = ": use precision='bfloat16'" if str(dtype) == "bfloat16" else ""
    raise ConfigurationError(f"dtype must be float32 or float64, not {dtype!r}{hint}")
