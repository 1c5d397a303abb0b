"""Networks with tied weights, for libraries that have no such layer: each gets a copy of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nnx.layers import TiedDense
from nnx.layers.base import walk
from nnx.network import Network


def untied(network: Network) -> Network:
    """Return the network, or if it has a `TiedDense`, one with a `Dense` of the same values in its place."""
    tied = [layer for layer in walk(network.layers) if isinstance(layer, TiedDense)]
    if not tied:
        return network
    config = network.config()
    config["layers"] = _plain(config["layers"], iter(tied))
    twin = Network.from_config(config, device=network.backend, draw=False)
    with network.backend.hold():
        for old, new in zip(walk(network.layers), walk(twin.layers), strict=True):
            if isinstance(old, TiedDense):
                new.W[...], new.b[...] = old.other.W.T, old.b  # type: ignore[attr-defined]
                continue
            for name in (*old.parameter_shapes(), *old.state_shapes()):
                getattr(new, name)[...] = getattr(old, name)
    return twin


def _plain(value: Any, tied: Iterator[TiedDense]) -> Any:
    """Return descriptions of layers, in the order of `walk`, without tied ones."""
    if isinstance(value, list):
        return [_plain(one, tied) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "TiedDense":
        layer = next(tied)
        sizes = {"inputs": layer.other.units, "units": int(layer.b.shape[0])}
        return {"kind": "Dense", "config": sizes, "trainable": value["trainable"]}
    return {name: _plain(inner, tied) for name, inner in value.items()}
