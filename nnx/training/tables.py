"""What changes from step to step in an epoch, uploaded to a GPU in one copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.data.rows import HostArray
from nnx.layers.randomness import Draws
from nnx.ops.dropout import halves
from nnx.ops.steps import PerStep
from nnx.optimizers import Optimizer
from nnx.parameters import Arena, OptimizerState

ALIGNED = 256  # bytes


class Tables:
    """The order of the rows, the numbers of the optimizer and the keys of random numbers, for each step.

    They lie in one array, at the same addresses in every epoch.

    Parameters
    ----------
    arena : Arena
    kept : OptimizerState
    steps, rows : int
        Number of steps in an epoch, and of rows in their order; 0 rows if nothing is gathered on the device.
    batch_size : int
        The rows of step n begin at position n · batch_size of the order.
    drawing : sequence of Draws
        The layers that need keys for random numbers.
    rules : sequence of Optimizer
        The optimizer, or for each group a copy with its settings.

    Attributes
    ----------
    counter : int64 array of shape (2,)
        The number of the next step, and of the current one.
    order, numbers : PerStep
    keys : dict of int to PerStep
    """

    def __init__(
        self, arena: Arena, kept: OptimizerState, steps: int, rows: int, batch_size: int,
        drawing: Sequence[Draws], rules: Sequence[Optimizer],
    ) -> None:  # fmt: skip
        self.arena, self.kept, self.drawing, self.rules = arena, kept, drawing, rules
        backend = arena.backend
        shapes: dict[str, tuple[int, Any]] = {
            "counter": (2, np.int64),
            "order": (rows, np.int64),
            "keys": (2 * len(drawing) * steps, np.uint32),
            "numbers": (2 * len(rules) * steps, arena.dtype),
        }
        places, end = {}, 0
        for name, (size, dtype) in shapes.items():
            places[name] = slice(end, end + size * np.dtype(dtype).itemsize)
            end += -(-size * np.dtype(dtype).itemsize // ALIGNED) * ALIGNED
        self._rates: list[list[float]] = [[] for _ in range(steps)]
        self._counted = self._counts(0)
        self._host = np.zeros(end, np.uint8)
        self._device = backend.zeros(end, "uint8")
        self._parts = {name: self._host[places[name]].view(shapes[name][1]) for name in shapes}
        parts: dict[str, Array] = {
            name: self._device[places[name]].view(shapes[name][1]) if shapes[name][0] else None
            for name in shapes
        }
        self.counter = parts["counter"]
        self.order = PerStep(parts["order"], self.counter, batch_size)
        self.numbers = PerStep(parts["numbers"], self.counter, 2 * len(rules))
        keys = PerStep(parts["keys"], self.counter, 2 * len(drawing))
        self.keys = {layer.index: keys.at(2 * place) for place, layer in enumerate(drawing)}

    def stale(self, step: int) -> bool:
        """Return whether the learning rate, the counts or the seed of the next step are not as uploaded."""
        return self._counts(step) != self._counted or self._rates_after(self.kept.step) != self._rates[step]

    def _counts(self, step: int) -> tuple[int, int, int]:
        """Return the counts before the epoch, from those before a step, and the seed."""
        return self.kept.step - step, self.arena.step - step, self.arena.seed

    def _rates_after(self, steps: int) -> list[float]:
        """Return the learning rate of each rule after so many steps of the optimizer."""
        return [rule.rate(steps) * self.kept.scale for rule in self.rules]

    def prepare(self, order: HostArray | None, begun: int) -> None:
        """Compute an epoch's tables and upload them; `begun` of its steps were taken already."""
        if order is not None and self._parts["order"].size:
            self._parts["order"][:] = order
        steps, seed = len(self._rates), self.arena.seed
        self._counted = self._counts(begun)
        numbers = self._parts["numbers"].reshape(steps, len(self.rules), 2)
        keys = self._parts["keys"].reshape(steps, len(self.drawing), 2)
        for step in range(begun, steps):
            done = self.kept.step + step - begun
            self._rates[step] = self._rates_after(done)
            for place, (rule, rate) in enumerate(zip(self.rules, self._rates[step], strict=True)):
                numbers[step, place] = rule.numbers(rate, done + 1)
            for place, layer in enumerate(self.drawing):
                keys[step, place] = halves(layer.key(seed, self.arena.step + step - begun))
        self.restart(begun)

    def restart(self, step: int) -> None:
        """Upload the tables, and make a step of the epoch the next one."""
        self._parts["counter"][:] = step
        self.arena.backend.upload(self._device, self._host)
