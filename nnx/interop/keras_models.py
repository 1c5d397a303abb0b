"""Turn the layers of a Keras model into those of nnx, and the layers of a network into those of Keras."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from nnx.errors import ConfigurationError
from nnx.interop.affine import is_far
from nnx.interop.keras_chain import Link
from nnx.interop.keras_layers import WRITABLE, far_batch_norm, is_nothing, read, write
from nnx.interop.parts import Part, concatenated, refuse_unknown, summed
from nnx.layers import BatchNorm, Layer, Sequential, stack
from nnx.network import Network

Shape = tuple[int, ...]
MIXED = "mixed_bfloat16"  # Keras's policy: bfloat16 in a layer, float32 weights
FAR_IN_KERAS = (
    "its means are large compared with its deviations, and Keras computes it as x a + b, which loses "
    "digits; set trainable = False, and the means are subtracted first"
)


class ModelReader:
    """Turn the links of a model into layers; collect notes and float types on the way."""

    def __init__(self, keras: Any, model: Any) -> None:
        self.keras, self.model = keras, model
        self.notes: list[str] = []
        self.policies: dict[str, str] = {}  # dtype policies, and a layer that has each
        self.products: dict[str, str] = {}  # those of the layers with products
        self.kinds: set[str] = set()  # the classes of these layers
        self.arriving = self.given = model.inputs[0].dtype  # the float type of the data, and of the input
        self.seen: set[str] = set()

    def read(self, links: Sequence[Link], shape: Shape, inside: bool = False) -> tuple[list[Part], Shape]:
        """Return the layers of a chain, which may be a branch `inside` another, and the shape after them."""
        parts: list[Part] = []
        for number, link in enumerate(links):
            place, kind = "/".join(link.place), link.entry["class_name"]
            try:
                if link.branches:
                    new = [self._join(link, shape)]
                else:
                    new = self._layer(link, place, len(shape) + 1, not inside and number == len(links) - 1)
                shape = stack.connect([part.layer for part in new], shape) if new else shape
            except PlacedError:
                raise
            except ConfigurationError as error:
                raise PlacedError(f"layer {place} ({kind}): {error}") from error
            parts += new
        return parts, shape

    def _join(self, link: Link, shape: Shape) -> Part:
        arriving = self.arriving
        branches = []
        for branch in link.branches:
            self.arriving = arriving
            branches.append(self.read(branch, shape, inside=True)[0])
        if link.entry["class_name"] == "Add":
            return summed(branches)
        axis = link.entry["config"]["axis"]
        if axis not in (-1, len(shape)):
            raise ConfigurationError(f"nnx's Concatenate joins the last axis, not axis {axis}")
        return concatenated(branches)

    def _layer(self, link: Link, place: str, rank: int, last: bool) -> list[Part]:
        layer = self.model
        for name in link.place:
            layer = layer.get_layer(name)
        kind = link.entry["class_name"]
        if layer.weights and place in self.seen:
            raise PlacedError(f"layer {place} is called twice: layers of nnx cannot share weights")
        self.seen.add(place)
        if is_nothing(self.keras, layer):
            self.notes.append(f"layer {place} ({kind}) only changes training and is left out")
            return []
        inner = kind == "Rescaling" and self.arriving in ("float32", "bfloat16") and not last
        if not (inner and layer.compute_dtype == "float64"):  # nnx's Rescale computes in float64 anyway
            self.policies.setdefault(layer.dtype_policy.name, place)
        parts = read(self.keras, layer, rank)
        if any(has_products(part.layer) for part in parts):
            self.products.setdefault(layer.dtype_policy.name, place)
            self.kinds.add(kind)
        self.arriving = layer.compute_dtype
        return parts

    def precision(self) -> str:
        """Return the precision of the network: float64 if a layer computes in it, else that of the products.

        Only products are computed in bfloat16 by nnx, so other layers may have one or the other policy.
        """
        known = {"float32", "float64", MIXED}
        if not set(self.policies) <= known:
            raise ConfigurationError(
                f"nnx knows the dtype policies float32, float64 and {MIXED}, but the model {self.model.name} "
                f"has {_listed(self.policies, self.policies.keys() - known)}"
            )
        if "float64" in self.policies:
            if others := sorted(self.policies.keys() - {"float64"}):
                self.notes.append(
                    f"it computes in {' and '.join(others)} and float64: the network computes everything in "
                    "float64"
                )
            return "float64"
        if len(self.products) > 1:
            kinds = " and ".join(sorted(self.kinds))
            raise ConfigurationError(
                f"the products of a network have one precision, but the {kinds} layers of {self.model.name} "
                f"have {_listed(self.products, self.products)}: give all of them the same dtype policy"
            )
        if not self.policies and self.given == "float64":
            return "float64"
        return "bfloat16" if MIXED in self.products else "float32"


def _listed(places: dict[str, str], policies: Collection[str]) -> str:
    """Return policies, with a layer that has each."""
    return ", ".join(f"{policy} at {place}" for policy, place in places.items() if policy in policies)


def has_products(layer: Layer) -> bool:
    """Return whether a layer computes products, which a bfloat16 network computes in bfloat16."""
    return type(layer).factor_count is not Layer.factor_count


class PlacedError(ConfigurationError):
    """An error that names its layer already."""


class Writer:
    """Builds a Keras layer for each layer of a network, with the same name and values."""

    def __init__(self, keras: Any, network: Network) -> None:
        self.keras, self.dtype = keras, network.dtype.name
        self.products = MIXED if network.precision == "bfloat16" else self.dtype
        self.weights = network.weights()
        self.by_name: dict[str, Any] = {}
        self.notes: list[str] = []
        refuse_unknown(network, WRITABLE, "Keras", "keras")

    def made(self, layer: Layer) -> list[Any]:
        """Return Keras's layers for one that is no container; their values are set later."""
        common = {"name": layer.name, "dtype": self.products if has_products(layer) else self.dtype}
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
