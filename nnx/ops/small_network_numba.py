"""Train a small network in one compiled loop: batches, forward, loss, backward, optimizer.

In a very small network, a step spends most of its time in calls, not in arithmetic. Here one call takes many
steps. Numbers describe the network (`Program`). The formulas are those of the other ``_numba`` files, in
plain loops over rows, inputs and units. If the loss or a gradient of a step is not finite, the loop stops
before that step's update.
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
    """Dense layers, loss and optimizer in the form that the loop reads.

    Attributes
    ----------
    widths : int array of shape (layers + 1,)
        Inputs of the first layer, then the units of each layer.
    offsets : int array of shape (layers,)
        Start of each layer's block in the arena; a block is W with b as its last row.
    kinds : int array of shape (layers,)
        Activations, as positions in `ACTIVATIONS`.
    alphas : float array of shape (layers,)
        Parameters of the activations.
    loss, optimizer : int
        Positions in `LOSSES` and `OPTIMIZERS`.
    scale : float
        Scale of the loss, as in `Backend.loss`.
    constants : tuple of float
        β₁, β₂, ε, weight decay and l2; only Adam uses the first three.
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
    """Take ``len(losses)`` steps in place, or fewer if a loss or gradient is not finite.

    Parameters
    ----------
    values, gradients : array of shape (size,)
    slots : arrays like values
        Adam's m and v; none for SGD.
    x, y : array of shape (rows, inputs), (rows, units)
    orders : int array of shape (epochs, rows)
        The order of rows in each epoch; if there are fewer orders than epochs, they repeat.
    batch : int
        Rows per step; the last step of an epoch may have fewer.
    rates : float array of shape (steps,)
        The learning rate of each step.
    first : int
        Optimizer steps taken before this call.
    losses : array of shape (steps,)
        The loss of each step is written into it.
    done : int array of shape (1,)
        The number of steps taken is written into it, and is correct even if an interrupt arrives on return.
    """
    m, v = slots or (gradients, gradients)
    outputs = np.empty((len(program.widths), batch * int(program.widths.max())), values.dtype)
    _run(
        outputs, program.widths, program.offsets, program.kinds, program.alphas, program.loss,
        program.optimizer, program.scale, program.constants, values, gradients, m, v, x, y, orders, batch,
        rates, first, losses, done,
    )  # fmt: skip


@compiled()
def _run(
    outputs: Array, widths: Array, offsets: Array, kinds: Array, alphas: Array, loss: int, optimizer: int,
    scale: float, constants: tuple[float, ...], values: Array, gradients: Array, m: Array, v: Array, x: Array,
    y: Array, orders: Array, batch: int, rates: Array, first: int, losses: Array, done: Array,
) -> None:  # fmt: skip
    layers = kinds.size
    deltas = np.empty((2, outputs.shape[1]), values.dtype)
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
                inputs, units = widths[layer], widths[layer + 1]
                block = slice(offsets[layer], offsets[layer] + (inputs + 1) * units)  # W, and b as last row
                small_forward(
                    outputs[layer], values[block], outputs[layer + 1], rows, inputs, units, kinds[layer],
                    number(alphas[layer]),
                )  # fmt: skip
            losses[step] = small_loss(
                loss, y, order, outputs[layers], deltas[layers % 2], widths[layers], scale
            )
            for layer in range(layers - 1, -1, -1):
                inputs, units = widths[layer], widths[layer + 1]
                block = slice(offsets[layer], offsets[layer] + (inputs + 1) * units)
                small_backward(
                    deltas[(layer + 1) % 2], outputs[layer], values[block], gradients[block],
                    deltas[layer % 2], outputs[layer + 1], rows, inputs, units, kinds[layer],
                    number(alphas[layer]), layer > 0,
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
def _finite(gradients: Array) -> bool:
    for value in gradients:  # noqa: SIM110 - Numba compiles no generator
        if not math.isfinite(value):
            return False
    return True
