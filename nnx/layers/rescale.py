"""Multiply by constants and add constants."""

from __future__ import annotations

from typing import Any

from nnx.backends import Array
from nnx.errors import ConfigurationError, number, shown
from nnx.layers.base import Layer
from nnx.layers.workspace import Workspace
from nnx.parameters import Arena
from nnx.records import Case, Counterpart, LayerRecord

__all__ = ["Rescale"]

WIDE = "float64"


class Rescale(Layer):
    """y = x · scale + offset, with constants that are not trained.

    Backward: dx = dy · scale.

    Both passes compute in float64, and round only once, at the end, to the network's type. So a float32
    network can standardize a column with mean 1e6 and deviation 1 with ``Rescale(1.0, -1e6)`` and loses no
    digits.

    Parameters
    ----------
    scale, offset : float, or one for each feature (the last axis)
        Finite numbers. They are part of the layer's configuration; a model file stores them in float64.

    Raises
    ------
    ConfigurationError
        If a constant is not a finite number, or if there is neither one constant nor one for each feature.

    Examples
    --------
    >>> import nnx
    >>> pixels = nnx.Rescale(1 / 255)
    >>> columns = nnx.Rescale(scale=[0.5, 2.0], offset=[-1.0, 0.0])
    """

    record = LayerRecord(
        names=("rescale",),
        cases=(
            Case({"scale": -2.5, "offset": 0.5}),
            Case({"scale": (0.5, -3.0, 0.0, 2.0), "offset": (1e3, -1.0, 0.25, 0.0)}, "for each feature"),
        ),
        keras=Counterpart("Rescaling", {"scale": "scale", "offset": "offset"}),
        onnx=Counterpart("Mul"),  # and an Add
        listed=False,
    )
    replays = True

    def __init__(self, scale: Any = 1.0, offset: Any = 0.0) -> None:
        super().__init__()
        self.scale = _constants("scale", scale)
        self.offset = _constants("offset", offset)
        self._on_device: tuple[Array, Array] | None = None

    def width(self, inputs: int) -> int:
        """Return the number of inputs, after checking that the constants fit it."""
        for name, given in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(given, list) and len(given) != inputs:
                raise ConfigurationError(
                    f"Rescale: {name} has {len(given):,} numbers, but there are {inputs:,} features: give "
                    "one number, or one for each feature"
                )
        return inputs

    def bind(self, arena: Arena, views: dict[str, Array]) -> None:
        """Copy the constants to the network's device."""
        super().bind(arena, views)
        xp = arena.backend.xp
        with arena.backend.hold():
            scale, offset = (xp.asarray(given, dtype=WIDE) for given in (self.scale, self.offset))
        self._on_device = scale.reshape(-1), offset.reshape(-1)

    def forward_into(self, x: Array, y: Array, workspace: Workspace) -> None:
        """Compute y = x · scale + offset."""
        assert self._on_device is not None
        scale, offset = self._on_device
        xp, wide = workspace.backend.xp, workspace.buffer("wide", x.shape, WIDE)
        xp.multiply(x, scale, out=wide)
        xp.add(wide, offset, out=wide)
        y[...] = wide

    def backward_into(self, dy: Array, dx: Array | None, workspace: Workspace) -> None:
        """Compute dx = dy · scale."""
        if dx is None:
            return
        assert self._on_device is not None
        xp, wide = workspace.backend.xp, workspace.buffer("wide", dy.shape, WIDE)
        xp.multiply(dy, self._on_device[0], out=wide)
        dx[...] = wide

    def config(self) -> dict[str, Any]:
        """Return the constants."""
        return {"scale": self.scale, "offset": self.offset}

    def __repr__(self) -> str:
        texts = (f"{name}={shown(repr(value), 40)}" for name, value in self.config().items())
        return f"{self.name or type(self).__name__}({', '.join(texts)})"


def _constants(name: str, given: Any) -> float | list[float]:
    """Return a number, or a list with one for each feature."""
    listed = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(listed, (list, tuple)):
        return number(f"Rescale: {name}", listed, "(-inf, inf)")
    if not listed:
        raise ConfigurationError(f"Rescale: {name} is empty: give one number, or one for each feature")
    return [number(f"Rescale: {name}[{place}]", value, "(-inf, inf)") for place, value in enumerate(listed)]
