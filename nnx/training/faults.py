"""Where a value that is not finite came first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.layers.plan import Plan


def first(network: Any, plan: Plan) -> str:
    """Where it was looked for how long, and what was found, once a plan has run a batch again."""
    return next(f"{number:06} {where}" for number, where in enumerate(_faults(network, plan)) if where)


def _faults(network: Any, plan: Plan) -> Iterator[str]:
    def finite(array: Array) -> bool:
        return bool(np.isfinite(plan.backend.to_numpy(array)).all())

    for layer, output in plan.outputs():
        yield "" if finite(output) else f"the output of {layer.name}"
    for layer, _ in reversed(plan.outputs()):
        for name, _, gradient in layer.named_parameters():
            yield "" if finite(gradient) else f"the gradient of {layer.name}.{name}"
    for layer in network.layers:
        for name in layer.state_shapes():
            yield "" if finite(getattr(layer, name)) else f"{layer.name}.{name}"
    yield "the loss"
