"""Find the order of the layers in Keras's description of a model: a chain, with branches that meet again."""

from __future__ import annotations

from typing import Any, NamedTuple

from nnx.errors import ConfigurationError
from nnx.interop.branches import Call, SharedCallError, branches, check_depth, links

MODELS = ("Sequential", "Functional")
JOINS = ("Add", "Concatenate")
LAYERS, OPERATIONS = "keras.layers", "keras.src.ops.numpy"  # modules; x + y is an operation
Output = tuple[str, int]  # of a layer, and the number of its call


class Link(NamedTuple):
    """A layer of a chain. Its place is the names of the models around it, then its own name.

    For a layer that joins several values, `branches` holds the chain of each.
    """

    place: tuple[str, ...]
    entry: dict[str, Any]
    branches: tuple[list[Link], ...] = ()


def chain(config: dict[str, Any], inside: tuple[str, ...] = ()) -> list[Link]:
    """Return the layers of a Sequential or Functional model and its inner models, from input to output."""
    if "input_layers" not in config:
        return [link for entry in config["layers"] for link in _links(entry, inside)]
    where = "/".join((*inside, config["name"]))
    source = _only(config["input_layers"], "input", where)
    output = _only(config["output_layers"], "output", where)
    return _chain(_calls(config["layers"], source, output, where), source, output, inside, where)


def _links(entry: dict[str, Any], inside: tuple[str, ...]) -> list[Link]:
    """Return the one layer that an entry describes, or the layers of a model."""
    place = (*inside, entry["config"]["name"])
    check_depth(len(place))
    if entry["class_name"] in MODELS:
        return chain(entry["config"], place)
    return [] if entry["class_name"] == "InputLayer" else [Link(place, entry)]


def _chain(
    calls: list[Call], source: Output, output: Output, inside: tuple[str, ...], where: str, depth: int = 0
) -> list[Link]:
    """Return the layers between two values."""
    check_depth(depth)
    found: list[Link] = []
    for link in links(calls, source, output):
        entry, takes = link[-1].node, link[-1].takes
        if entry["class_name"] not in JOINS:
            if len(takes) > 1:
                raise ConfigurationError(
                    f"{where} is not a chain of layers: {entry['name']} ({entry['class_name']}) takes "
                    f"several inputs; nnx can read {' and '.join(JOINS)}"
                )
            found += _links(entry, inside)
        else:
            try:
                ways = zip(branches(link, source), takes, strict=True)
            except SharedCallError as error:
                raise ConfigurationError(
                    f"{where}: the branches that meet at {entry['name']} share the layer "
                    f"{error.args[0]['name']}: nnx's containers need branches that start at one value"
                ) from error
            parts = tuple(_chain(way, source, end, inside, where, depth + 1) for way, end in ways)
            found.append(Link((*inside, entry["name"]), entry, parts))
        source = link[-1].gives
    return found


def _calls(entries: list[dict[str, Any]], source: Output, output: Output, where: str) -> list[Call]:
    """Return the calls of a functional model's layers, each after those that it takes values from."""
    by_name = {entry["name"]: entry for entry in entries}
    order: list[Call] = []
    done, open_ = {source}, set()
    todo = [output]
    while todo:
        gives = todo[-1]
        if gives in done:
            todo.pop()
            continue
        entry = by_name[gives[0]]
        takes = _source(entry, gives[1], where)
        missing = [value for value in takes if value not in done]
        if missing and gives in open_:
            raise ConfigurationError(f"{where} is not a chain of layers: {gives[0]} takes its own output")
        open_.add(gives)
        todo += missing
        if not missing:
            order.append(Call(entry, takes, gives))
            done.add(gives)
    if len(order) < sum(len(entry["inbound_nodes"]) for entry in entries):
        raise ConfigurationError(f"{where} is not a chain of layers: some are not on the way to the output")
    return order


def _source(entry: dict[str, Any], call: int, where: str) -> tuple[Output, ...]:
    """Return the values that a call of a layer takes."""
    name, node = entry["name"], entry["inbound_nodes"][call]
    if node.get("kwargs", {}).get("training"):
        raise ConfigurationError(f"{where}/{name} is called with training=True: nnx predicts without")
    takes = tuple(_sources(node))
    if entry["class_name"] in JOINS:
        args = node["args"]
        operands = args[0] if entry["module"] == LAYERS else args
        if len(operands) != len(takes):
            raise ConfigurationError(f"{where}/{name} ({entry['class_name']}) joins data and constants")
    if not takes:
        raise ConfigurationError(f"{where}/{name} does not take the model's input")
    return takes


def _sources(value: Any) -> list[Output]:
    """Return the values in the description of a call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, call, _ = value["config"]["keras_history"]
            return [(name, int(call))]
        return _sources(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [source for part in value for source in _sources(part)]
    return []


def _only(ends: Any, kind: str, where: str) -> Output:
    """Return layer and call of a model's one input or output: ``[name, 0, 0]``, or a list or dict of such."""
    if isinstance(ends, dict):
        ends = list(ends.values())
    if isinstance(ends[0], str):
        ends = [ends]
    if len(ends) != 1:
        raise ConfigurationError(f"{where} has {len(ends)} {kind}s: nnx's networks have one")
    name, call, _ = ends[0]
    return name, int(call)
