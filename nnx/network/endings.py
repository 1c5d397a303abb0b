"""The last layers of a network for a loss."""

from __future__ import annotations

from nnx.layers import Ascending, Dense, Layer, Reshape
from nnx.layers.activations import make
from nnx.losses import Loss, Pinball


def last_layers(loss: Loss, outputs: int) -> list[Layer]:
    """Return a dense layer with as many numbers for each output as the loss needs, and what follows it.

    Quantiles that are trained together cannot cross after `Ascending`. A loss of probabilities or rates gets
    its activation.
    """
    layers: list[Layer] = [Dense(outputs * loss.width)]
    if loss.width > 1 and outputs > 1:
        layers.append(Reshape((outputs, loss.width)))
    if loss.width > 1 and isinstance(loss, Pinball):
        layers.append(Ascending())
    if loss.activation:
        layers.append(make(loss.activation))
    return layers
