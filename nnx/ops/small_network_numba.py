"""Training of a small network as one compiled loop: batches, forward, loss, backward, optimizer.

On a network of a few numbers a step is the price of its calls, not of its arithmetic. Here a whole block of
steps is one call. The network is described in numbers (`Program`). The formulas are those of the other
``_numba`` files, in plain loops over rows, inputs and units. It stops before the update of a step whose
loss or gradient is not finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnx.ops.activations_numba import KINDS as ACTIVATIONS
from nnx.ops.base import Array
from nnx.ops.base_numba import compiled, inner
from nnx.ops.dense_numba import small_backward, small_forward
from nnx.ops.losses_numba import SMALL_LOSSES as LOSSES
from nnx.ops.losses_numba import small_loss
from nnx.ops.updates_numba import adam, sgd

__all__ = ["ACTIVATIONS", "LOSSES", "OPTIMIZERS", "Program", "run"]

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Program:
    """Dense layers and what is trained on them, as the loop reads it.

    Attributes
    ----------
    widths : int array of shape (layers + 1,)
        Inputs of the first layer, then units of each.
    offsets : int array of shape (layers,)
        Where each layer's block, W above b, begins in the arena.
    kinds : int array of shape (layers,)
        Activations, by their place in `ACTIVATIONS`.
    alphas : float array of shape (layers,)
    loss, optimizer : int
        By their place in `LOSSES` and `OPTIMIZERS`.
    scale : float
        Of the loss, as in `Backend.loss`.
    constants : tuple of float
        β₁, β₂, ε, weight decay and l2 (the first three of Adam alone).
    """

    widths: Array
    offsets: Array
    kinds: Array
    alphas: Array
    loss: int
    optimizer: int
    scale: float
    constants: tuple[float, float, float, float, float]


def run(
    program: Program,
    values: Array,
    gradients: Array,
    slots: tuple[Array, ...],
    x: Array,
    y: Array,
    orders: Array,
    batch: int,
    rates: Array,
    first: int,
    losses: Array,
    done: Array,
) -> None:
    """Take ``len(losses)`` steps in place, less where one meets a fault.

    Parameters
    ----------
    values, gradients : array of shape (size,)
    slots : arrays like values
        Adam's m and v; none for SGD.
    x, y : array of shape (rows, inputs), (rows, units)
    orders : int array of shape (epochs, rows)
        Taken in turn, and from the first again where there are fewer than epochs.
    batch : int
        Rows of a step; the last of an epoch may have fewer.
    rates : float array of shape (steps,)
        The learning rate of each.
    first : int
        Optimizer steps taken before.
    losses : array of shape (steps,)
        Each step's loss.
    done : int array of shape (1,)
        How many steps were taken: right also where an interrupt arrives on the way back.
    """
    m, v = slots or (gradients, gradients)
    _run(
        program.widths, program.offsets, program.kinds, program.alphas, program.loss, program.optimizer,
        program.scale, program.constants, values, gradients, m, v, x, y, orders, batch, rates, first, losses,
        done,
    )  # fmt: skip


@compiled()
def _run(
    widths: Array, offsets: Array, kinds: Array, alphas: Array, loss: int, optimizer: int, scale: float,
    constants: tuple[float, ...], values: Array, gradients: Array, m: Array, v: Array, x: Array, y: Array,
    orders: Array, batch: int, rates: Array, first: int, losses: Array, done: Array,
) -> None:  # fmt: skip
    layers = kinds.size
    outputs = np.empty((layers + 1, batch * widths.max()), values.dtype)
    deltas = np.empty((2, batch * widths.max()), values.dtype)
    beta1, beta2, epsilon, decay, l2 = constants
    number = values.dtype.type
    step = 0
    for epoch in range(losses.size // -(-x.shape[0] // batch)):
        for start in range(0, x.shape[0], batch):
            order = orders[epoch % orders.shape[0], start : start + batch]
            rows = order.size
            for row in range(rows):
                for k in range(widths[0]):
                    outputs[0, row * widths[0] + k] = x[order[row], k]
            for layer in range(layers):
                small_forward(
                    outputs[layer], _block(values, offsets, widths, layer), outputs[layer + 1], rows,
                    kinds[layer], number(alphas[layer]),
                )  # fmt: skip
            losses[step] = small_loss(
                loss, y, order, outputs[layers], deltas[layers % 2], widths[layers], scale
            )
            for layer in range(layers - 1, -1, -1):
                small_backward(
                    deltas[(layer + 1) % 2], outputs[layer], _block(values, offsets, widths, layer),
                    _block(gradients, offsets, widths, layer), deltas[layer % 2], outputs[layer + 1], rows,
                    kinds[layer], number(alphas[layer]), layer > 0,
                )  # fmt: skip
            if not (math.isfinite(losses[step]) and _finite(gradients)):
                return
            taken = first + step + 1
            rate = rates[step]
            shrink = number(1.0 - rate * decay)
            if optimizer == 0:
                sgd(values, gradients, number(rate), shrink, number(l2))
            else:
                corrected = rate * math.sqrt(1.0 - beta2**taken) / (1.0 - beta1**taken)
                adam(
                    values, gradients, m, v, number(corrected), number(1.0 - beta1), number(1.0 - beta2),
                    number(epsilon), shrink, number(l2),
                )  # fmt: skip
            step += 1
            done[0] = step


@inner
def _block(buffer: Array, offsets: Array, widths: Array, layer: int) -> Array:
    """A layer's (inputs + 1, units) within a flat buffer: W above, b its last row."""
    size = (widths[layer] + 1) * widths[layer + 1]
    return buffer[offsets[layer] : offsets[layer] + size].reshape(widths[layer] + 1, widths[layer + 1])


@inner
def _finite(gradients: Array) -> bool:
    for value in gradients:  # noqa: SIM110 - Numba compiles no generator
        if not math.isfinite(value):
            return False
    return True
