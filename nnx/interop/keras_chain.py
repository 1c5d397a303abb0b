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
        If the model branches, shares a layer, or has several inputs or outputs.
    """
    entries = _follow(config, inside) if "input_layers" in config else config["layers"]
    for entry in entries:
        place = (*inside, entry["config"]["name"])
        if entry["class_name"] in MODELS:
            yield from chain(entry["config"], place)
        elif entry["class_name"] != "InputLayer":
            yield Link(place, entry)


def _follow(config: dict[str, Any], inside: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    where = "/".join((*inside, config["name"]))
    current = _only(config["input_layers"], "input", where)
    last = _only(config["output_layers"], "output", where)
    left = {entry["name"]: entry for entry in config["layers"]}
    del left[current]
    while left:
        name = _behind(current, left, where)
        current = name
        yield left.pop(name)
    if current != last:
        raise ConfigurationError(f"{where}: its output is not that of its last layer, {current}")


def _behind(current: str, left: dict[str, dict[str, Any]], where: str) -> str:
    """The one layer that takes the output of `current`, and nothing else."""
    taking = [name for name, entry in left.items() if current in _sources(entry)]
    if len(taking) != 1:
        to = f"goes to {', '.join(taking)}" if taking else f"does not lead to {', '.join(left)}"
        raise ConfigurationError(f"{where} is not a chain of layers: the output of {current} {to}")
    entry = left[taking[0]]
    if len(_sources(entry)) != 1 or len(entry["inbound_nodes"]) != 1:
        raise ConfigurationError(f"{where} is not a chain of layers: {taking[0]} takes several inputs")
    if entry["inbound_nodes"][0].get("kwargs", {}).get("training"):
        raise ConfigurationError(f"{where}/{taking[0]} is called with training=True, also when it predicts")
    return taking[0]


def _sources(value: Any) -> list[str]:
    """The names of the layers whose outputs an entry's calls take."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [value["config"]["keras_history"][0]]
        inner = value["inbound_nodes"] if "inbound_nodes" in value else list(value.values())
        return _sources(inner)
    if isinstance(value, (list, tuple)):
        return [name for part in value for name in _sources(part)]
    return []


def _only(ends: Any, kind: str, where: str) -> str:
    """The name of a model's one input or output: ``[name, 0, 0]``, or a list or dict of such."""
    if isinstance(ends, dict):
        ends = list(ends.values())
    if isinstance(ends[0], str):
        ends = [ends]
    if len(ends) != 1:
        raise ConfigurationError(f"{where} has {len(ends)} {kind}s: nnx's networks have one")
    name: str = ends[0][0]
    return name
