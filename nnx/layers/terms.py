"""Terms that layers add to the loss: sparsity of a code, its contraction, its divergence from a distribution.

A layer with a term sets `Layer.term`, the term's name. In a pass that needs terms, its `forward_into` writes
the term, a mean over the rows, into ``workspace.term``, and its `backward_into` adds the term's gradient to
dx or to the gradients of its parameters. `Network.fit` adds the terms to the loss, and records each by its
name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnx.backends import Array

if TYPE_CHECKING:
    from nnx.layers.base import Layer


@dataclass(frozen=True)
class Terms:
    """What a pass tells the layers that add terms to the loss.

    Attributes
    ----------
    weights : array of shape (rows,) or None
        The weights of the rows; None if all rows count alike.
    share : float
        This rank's share of the batch; gradients of terms are multiplied by it, as those of the loss are.
    """

    weights: Array | None = None
    share: float = 1.0


PLAIN = Terms()


def names_of(layers: Iterable[Layer]) -> tuple[str, ...]:
    """Return the names of the terms of some layers, each once; `layers` includes those in containers."""
    return tuple(dict.fromkeys(layer.term for layer in layers if layer.term))
