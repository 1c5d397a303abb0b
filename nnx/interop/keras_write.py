"""Make a Keras layer for each layer of a network, and call them in the order of its containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.interop.affine import is_far
from nnx.interop.keras_layers import WRITABLE, far_batch_norm, write
from nnx.interop.parts import refuse_unknown
from nnx.layers import BatchNorm, Layer, Sequential
from nnx.network import Network

FAR_IN_KERAS = (
    "its means are large compared with its deviations, and Keras computes it as x a + b, which loses "
    "digits; set trainable = False, and the means are subtracted first"
)


class Writer:
    """Builds a Keras layer for each layer of a network, with the same name and values."""

    def __init__(self, keras: Any, network: Network) -> None:
        self.keras, self.dtype = keras, network.dtype.name
        self.weights = network.weights()
        self.by_name: dict[str, Any] = {}
        self.notes: list[str] = []
        refuse_unknown(network, WRITABLE, "Keras", "keras")

    def made(self, layer: Layer) -> list[Any]:
        """Return Keras's layers for one that is no container; their values are set later."""
        common = {"name": layer.name, "dtype": self.dtype}
        if isinstance(layer, BatchNorm) and is_far(layer, self.weights):
            if not layer.trainable:
                return far_batch_norm(self.keras, layer, common, self.weights)
            self.notes.append(f"layer {layer.name}: {FAR_IN_KERAS}")
        theirs = write(self.keras, layer, common)
        theirs.trainable = layer.trainable
        self.by_name[layer.name] = theirs
        return [theirs]

    def call(self, layers: Sequence[Layer], x: Any) -> Any:
        """Return the tensor that layers and containers make of a tensor."""
        for layer in layers:
            if not layer.branches:
                x = applied(self.made(layer), x)
                continue
            ways = [self.call(branch, x) for branch in layer.branches]
            if isinstance(layer, Sequential):
                (x,) = ways
            else:
                theirs = WRITABLE[type(layer)]
                join = getattr(self.keras.layers, theirs.name)
                x = join(**theirs.fixed, name=layer.name, dtype=self.dtype)(ways)
        return x

    def set_weights(self) -> None:
        """Give the layers their values; they must be built."""
        for name, theirs in self.by_name.items():
            theirs.set_weights([value for key, value in self.weights.items() if key.startswith(f"{name}.")])


def applied(layers: Sequence[Any], x: Any) -> Any:
    """Return the tensor that Keras's layers, one after the other, make of a tensor."""
    for layer in layers:
        x = layer(x)
    return x
