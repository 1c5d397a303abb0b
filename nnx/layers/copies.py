"""Copies and pickles of layers: a copy belongs to no network, and owns its values."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self, cast

from nnx.parameters import Arena

if TYPE_CHECKING:
    from nnx.layers.base import Layer

OF_ITS_PLACE = ("arena", "owned", "name", "index", "_plan")  # attributes that a copy does not take over


class Copies:
    """Let the modules `copy` and `pickle` copy a layer without its network.

    The copy of a layer with values is built like a layer that is used alone (`Layer.build`): on the same
    device, with equal values, which a network that takes it keeps. Two layers never share values, so
    ``copy.copy`` does the same as ``copy.deepcopy``.
    """

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        layer = cast("Layer", self)
        kept = {name: value for name, value in vars(layer).items() if name not in OF_ITS_PLACE}
        if layer.arena is None:
            return {"attributes": kept}
        arena, names = layer.arena, (*layer.parameter_shapes(), *layer.state_shapes())
        for name in names:
            for view in (name, f"d{name}", f"used_{name}"):
                kept.pop(view, None)
        values = {name: arena.backend.to_numpy(getattr(layer, name)) for name in names}
        return {"attributes": kept, "values": values, "built": (arena.backend, str(arena.dtype), arena.seed)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from nnx.layers import stack  # imported late: both need all of `Layer`
        from nnx.layers.base import walk

        layer = cast("Layer", self)
        vars(layer).update(state["attributes"], _plan=None)
        if layer.branches:
            stack.adopt(layer)
        if "built" in state:
            held = list(walk([layer]))[1:]  # of a container; each of them is restored already
            values = [state["values"], *(stack.values(one) or {} for one in held)]
            backend, dtype, seed = state["built"]
            Arena([layer, *held], backend, backend.xp.dtype(dtype), seed)
            for one, named in zip([layer, *held], values, strict=True):
                stack.set_values(one, named)
