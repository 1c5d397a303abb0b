"""Which trainings a backend can run as one compiled loop, and what it is told of them.

A backend that has such a loop (`Backend.small_loop`) is given small networks of plain `Dense` layers.
Whatever the loop does not know (other layers, subclasses, clipping, frozen layers, weights) is trained step
by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backends import Array
from nnx.layers import Dense, Plan
from nnx.losses import Loss
from nnx.optimizers import SGD, Adam, AdamW, Optimizer
from nnx.parameters import Optimized, OptimizerState

SMALL = 2**14  # rows × parameters of a step: above, its arithmetic outweighs the calls
BLOCK = 2**15  # steps at a time, or an epoch's, so that an interrupt does not wait long


@dataclass
class CompiledLoop:
    """A training that is run in blocks of steps."""

    loop: Any
    program: Any
    part: Optimized
    optimizer: Optimizer

    def run(
        self, x: Array, y: Array, orders: Array, batch: int, kept: OptimizerState, losses: Array, done: Array
    ) -> None:
        """Take as many steps as `losses` has room for; see `nnx.ops.small_network_numba.run`."""
        first = kept.step
        rates = [self.optimizer.rate(first + step) * kept.scale for step in range(losses.size)]
        slots = tuple(slot for slot in self.part.slots if slot is not None)
        self.loop.run(
            self.program, self.part.values, self.part.gradients, slots, x.reshape(len(x), -1), y, orders,
            int(batch),
            np.array(rates, float), first, losses, done,
        )  # fmt: skip


def prepare(
    plan: Plan, loss: Loss, kind: str, optimizer: Optimizer, ranges: list[Optimized], batch: int, like: Array
) -> CompiledLoop | None:
    """The compiled loop of a training; None where its backend has none or does not know it all.

    Parameters
    ----------
    kind : str
        The loss's, as the plan runs it.
    ranges : list of Optimized
        What the optimizer updates.
    batch : int
        Rows of a step.
    like : array
        The targets.
    """
    arena = plan.arena
    loop = arena.backend.small_loop()
    whole = len(ranges) == 1 and ranges[0].values.size == arena.values.size and ranges[0].settings is None
    if loop is None or not whole or batch * arena.values.size > SMALL:
        return None
    kept = (type(loss).formula, type(loss).evaluate) == (Loss.formula, Loss.evaluate)
    own = not kept or kind not in loop.LOSSES or like.ndim != 2
    groups = list(_groups(plan, loop.ACTIVATIONS))
    rule = _rule(optimizer)
    if own or rule is None or len(groups) != len(plan.groups):
        return None
    layers = [layer for layer, _, _ in groups]
    begin = arena.values.ctypes.data
    program = loop.Program(
        widths=np.array([layers[0].inputs, *(layer.units for layer in layers)]),
        offsets=np.array([(layer.block.ctypes.data - begin) // arena.values.itemsize for layer in layers]),
        kinds=np.array([activation for _, activation, _ in groups]),
        alphas=np.array([alpha for _, _, alpha in groups], float),
        loss=loop.LOSSES.index(kind),
        optimizer=loop.OPTIMIZERS.index(rule[0]),
        scale=1.0 if loss.sums_features else 1.0 / layers[-1].units,
        constants=rule[1],
    )
    return CompiledLoop(loop, program, ranges[0], optimizer)


def _groups(plan: Plan, known: tuple[str, ...]) -> Iterator[tuple[Dense, int, float]]:
    for layer, activation in plan.groups:
        kind = activation.fused_kind if activation is not None else "identity"
        if type(layer) is Dense and kind in known and len(layer.input_shape or ()) == 1:
            yield layer, known.index(kind), float(getattr(activation, "alpha", 0.0))


def _rule(optimizer: Optimizer) -> tuple[str, tuple[float, float, float, float, float]] | None:
    if optimizer.clip_norm is not None or optimizer.clip_value is not None:
        return None
    shared = (float(optimizer.weight_decay), float(optimizer.l2))
    if type(optimizer) is SGD and not optimizer.momentum:
        return "sgd", (0.0, 0.0, 0.0, *shared)
    if type(optimizer) in (Adam, AdamW):
        assert isinstance(optimizer, Adam)
        return "adam", (optimizer.beta1, optimizer.beta2, optimizer.epsilon, *shared)
    return None
