"""The order of the layers in what Keras writes of a model, which must be a chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nnx.errors import ConfigurationError

MODELS = ("Sequential", "Functional")


class Link(NamedTuple):
    """A layer of a chain: its place (the names of the models around it, then its own) and its description."""

    place: tuple[str, ...]
    entry: dict[str, Any]


def chain(config: dict[str, Any], inside: tuple[str, ...] = ()) -> Iterator[Link]:
    """The layers of a Sequential or Functional model, models within it included, from input to output.

    Raises
    ------
    ConfigurationError
        If the model branches, or has several inputs or outputs.
    """
    entries = _follow(config, inside) if "input_layers" in config else config["layers"]
    for entry in entries:
        place = (*inside, entry["config"]["name"])
        if entry["class_name"] in MODELS:
            yield from chain(entry["config"], place)
        elif entry["class_name"] != "InputLayer":
            yield Link(place, entry)


def _follow(config: dict[str, Any], inside: tuple[str, ...]) -> list[dict[str, Any]]:
    """The entries of a functional model in the order of their calls, found from its output back."""
    where = "/".join((*inside, config["name"]))
    first = _only(config["input_layers"], "input", where)
    name, call = _only(config["output_layers"], "output", where)
    entries = {entry["name"]: entry for entry in config["layers"]}
    calls = sum(len(entry["inbound_nodes"]) for entry in config["layers"])
    order: list[dict[str, Any]] = []
    while (name, call) != first:
        entry = entries[name]
        if len(order) > calls:
            raise ConfigurationError(f"{where} is not a chain of layers: {name} takes its own output")
        order.append(entry)
        name, call = _source(entry, call, where)
    if len(order) < calls:
        raise ConfigurationError(f"{where} is not a chain of layers: some lie between no input and output")
    return [entries[first[0]], *reversed(order)]


def _source(entry: dict[str, Any], call: int, where: str) -> tuple[str, int]:
    """The layer, and which of its calls, whose output a call of a layer takes."""
    name, node = entry["name"], entry["inbound_nodes"][call]
    if node.get("kwargs", {}).get("training"):
        raise ConfigurationError(f"{where}/{name} is called with training=True, also when it predicts")
    sources = _sources(node)
    if len(sources) != 1:
        raise ConfigurationError(f"{where} is not a chain of layers: {name} takes several inputs")
    return sources[0]


def _sources(value: Any) -> list[tuple[str, int]]:
    """The layers, and which of their calls, whose outputs a call takes."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, call, _ = value["config"]["keras_history"]
            return [(name, int(call))]
        return _sources(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [source for part in value for source in _sources(part)]
    return []


def _only(ends: Any, kind: str, where: str) -> tuple[str, int]:
    """The layer and call of a model's one input or output: ``[name, 0, 0]``, or a list or dict of such."""
    if isinstance(ends, dict):
        ends = list(ends.values())
    if isinstance(ends[0], str):
        ends = [ends]
    if len(ends) != 1:
        raise ConfigurationError(f"{where} has {len(ends)} {kind}s: nnx's networks have one")
    name, call, _ = ends[0]
    return name, int(call)
