"""Training of a small network as one compiled loop: batches, forward, loss, backward, optimizer.

On a network of a few numbers a step is the price of its calls, not of its arithmetic. Here a whole block of
steps is one call. The network is described in numbers (`Program`); what is computed is what `base` states, in
plain loops over rows, inputs and units, and it stops before the update of a step whose loss or gradient is
not finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnx.backends.numba_kernels import Scalar, compiled, inner
from nnx.ops.base import Array

ACTIVATIONS = ("identity", "relu", "leaky_relu", "tanh", "sigmoid")
LOSSES = (
    "squared_error", "binary_cross_entropy_from_logits", "categorical_cross_entropy_from_logits",
)  # fmt: skip
OPTIMIZERS = ("sgd", "adam")
RELU, LEAKY, TANH, SIGMOID = range(1, 5)
SQUARED, BINARY = range(2)
ROWS = 128  # that are summed one by one


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
                _forward(
                    outputs[layer], _block(values, offsets, widths, layer), outputs[layer + 1], rows,
                    kinds[layer], number(alphas[layer]),
                )  # fmt: skip
            losses[step] = _loss(loss, y, order, outputs[layers], deltas[layers % 2], widths[layers], scale)
            for layer in range(layers - 1, -1, -1):
                _backward(
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
                _sgd(values, gradients, number(rate), shrink, number(l2))
            else:
                corrected = rate * math.sqrt(1.0 - beta2**taken) / (1.0 - beta1**taken)
                _adam(
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
def _forward(x: Array, block: Array, y: Array, rows: int, kind: int, alpha: float) -> None:
    """y = f(x W + b), x and y flat."""
    inputs, units = block.shape[0] - 1, block.shape[1]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for row in range(rows):
        out = y[row * units : (row + 1) * units]
        for j in range(units):
            out[j] = block[inputs, j]
        for k in range(inputs):
            factor = x[row * inputs + k]
            for j in range(units):
                out[j] += factor * block[k, j]
        for j in range(units):
            z = out[j]
            if kind == RELU:
                out[j] = z if not z <= zero else zero
            elif kind == LEAKY:
                out[j] = z if z > zero else alpha * z
            elif kind == TANH:
                out[j] = math.tanh(z)
            elif kind == SIGMOID:
                e = math.exp(-abs(z))
                out[j] = (one if z >= zero else e) / (one + e)


@inner
def _backward(
    dy: Array, x: Array, block: Array, dblock: Array, dx: Array, y: Array, rows: int, kind: int, alpha: float,
    wants_dx: bool,
) -> None:  # fmt: skip
    """dz = dy ∘ f' (into dy); dW = xᵀ dz, db = Σ_rows dz, dx = dz Wᵀ."""
    units = block.shape[1]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for index in range(rows * units):
        value = y[index]
        if kind == RELU:
            dy[index] = dy[index] if value > zero else zero
        elif kind == LEAKY:
            dy[index] = dy[index] if value > zero else alpha * dy[index]
        elif kind == TANH:
            dy[index] *= one - value * value
        elif kind == SIGMOID:
            dy[index] *= value * (one - value)
    if rows <= ROWS:
        _products(dy, x, block, dblock, dx, 0, rows, wants_dx)
        return
    dblock[:, :] = zero  # many rows in blocks, or rounding would grow with their number
    some = np.empty_like(dblock)
    for low in range(0, rows, ROWS):
        _products(dy, x, block, some, dx, low, min(low + ROWS, rows), wants_dx)
        dblock += some


@inner
def _products(
    dz: Array, x: Array, block: Array, dblock: Array, dx: Array, low: int, high: int, wants_dx: bool
) -> None:
    """dW and db of rows `low` to `high`, and their dx."""
    inputs, units = block.shape[0] - 1, block.shape[1]
    zero = x.dtype.type(0)
    dblock[:, :] = zero
    for row in range(low, high):
        own = dz[row * units : (row + 1) * units]
        for k in range(inputs):
            factor = x[row * inputs + k]
            total = zero
            for j in range(units):
                dblock[k, j] += factor * own[j]
                total += own[j] * block[k, j]
            if wants_dx:
                dx[row * inputs + k] = total
        for j in range(units):
            dblock[inputs, j] += own[j]


@inner
def _loss(kind: int, y: Array, order: Array, p: Array, dy: Array, width: int, scale: float) -> Scalar:
    """The loss of a batch; dy = its gradient in p, both flat."""
    zero, one = p.dtype.type(0), p.dtype.type(1)
    factor = p.dtype.type(scale / order.size)
    total = 0.0
    for row in range(order.size):
        targets = y[order[row]]
        some, gradient = p[row * width : (row + 1) * width], dy[row * width : (row + 1) * width]
        if kind == SQUARED:
            for j in range(width):
                e = some[j] - targets[j]
                total += e * e
                gradient[j] = (e + e) * factor
        elif kind == BINARY:
            for j in range(width):
                z = some[j]
                e = math.exp(-abs(z))
                total += (z if not z <= zero else zero) - targets[j] * z + math.log1p(e)
                gradient[j] = ((one if z >= zero else e) / (one + e) - targets[j]) * factor
        else:
            top = some.max()
            sums, mass = zero, zero
            for j in range(width):
                gradient[j] = math.exp(some[j] - top)
                sums += gradient[j]
                mass += targets[j]
            total += mass * math.log(sums)
            for j in range(width):
                if targets[j] != zero:
                    total += targets[j] * (top - some[j])  # shifted first: log Σ would lose its digits
                gradient[j] = (gradient[j] / sums * mass - targets[j]) * factor
    return total * scale / order.size


@inner
def _finite(gradients: Array) -> bool:
    for value in gradients:  # noqa: SIM110 - Numba compiles no generator
        if not math.isfinite(value):
            return False
    return True


# The updates stand in `numba_kernels` too. They are written again because Numba keeps compiled code by the
# file of the function that was called: it would not notice that a file it only calls into has changed.


@inner
def _sgd(w: Array, g: Array, rate: Scalar, shrink: Scalar, l2: Scalar) -> None:
    for i in range(w.size):
        w[i] = w[i] * shrink - rate * (g[i] + l2 * w[i])


@inner
def _adam(
    w: Array, g: Array, m: Array, v: Array, rate: Scalar, c1: Scalar, c2: Scalar, epsilon: Scalar,
    shrink: Scalar, l2: Scalar,
) -> None:  # fmt: skip
    for i in range(w.size):
        gradient = g[i] + l2 * w[i]
        m[i] += c1 * (gradient - m[i])
        v[i] += c2 * (gradient * gradient - v[i])
        w[i] = w[i] * shrink - rate * m[i] / (math.sqrt(v[i]) + epsilon)
