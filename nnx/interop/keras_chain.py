"""Find the order of the layers in Keras's description of a model, which must be a chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nnx.errors import ConfigurationError

MODELS = ("Sequential", "Functional")


class Link(NamedTuple):
    """A layer of a chain. Its place is the names of the models around it, then its own name."""

    place: tuple[str, ...]
    entry: dict[str, Any]


def chain(config: dict[str, Any], inside: tuple[str, ...] = ()) -> Iterator[Link]:
    """Yield the layers of a Sequential or Functional model, and of models inside it, from input to output.

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
    """Return the entries of a functional model in the order of their calls, traced back from its output."""
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
        raise ConfigurationError(f"{where} is not a chain of layers: some are not on the way to the output")
    return [entries[first[0]], *reversed(order)]


def _source(entry: dict[str, Any], call: int, where: str) -> tuple[str, int]:
    """Return where a call of a layer takes its input from: a layer, and the number of its call."""
    name, node = entry["name"], entry["inbound_nodes"][call]
    if node.get("kwargs", {}).get("training"):
        raise ConfigurationError(f"{where}/{name} is called with training=True: nnx predicts without")
    sources = _sources(node)
    if len(sources) != 1:
        raise ConfigurationError(f"{where} is not a chain of layers: {name} takes several inputs")
    return sources[0]


def _sources(value: Any) -> list[tuple[str, int]]:
    """Return where a call takes its inputs from: layers, and the numbers of their calls."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, call, _ = value["config"]["keras_history"]
            return [(name, int(call))]
        return _sources(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [source for part in value for source in _sources(part)]
    return []


def _only(ends: Any, kind: str, where: str) -> tuple[str, int]:
    """Return layer and call of a model's one input or output: ``[name, 0, 0]``, or a list or dict of such."""
    if isinstance(ends, dict):
        ends = list(ends.values())
    if isinstance(ends[0], str):
        ends = [ends]
    if len(ends) != 1:
        raise ConfigurationError(f"{where} has {len(ends)} {kind}s: nnx's networks have one")
    name, call, _ = ends[0]
    return name, int(call)
