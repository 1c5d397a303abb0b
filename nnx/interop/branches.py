"""Split a graph of calls into a chain, and each of its joins into branches that start from one value.

Readers of Keras and ONNX models use it. A chain is read link by link. A link is one call, or calls that fork
and meet again; the branches of its last call are chains themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nnx.errors import ConfigurationError

DEEPEST = 50  # branches inside branches


class Call(NamedTuple):
    """A node, the values that it takes (without constants), and the value that it gives."""

    node: Any
    takes: tuple[Any, ...]
    gives: Any


class SharedCallError(Exception):
    """A call that several branches need; its argument is that call's node."""


def links(calls: Sequence[Call], source: Any, output: Any) -> Iterator[list[Call]]:
    """Yield the calls between two values through which all data pass, from the source to the output.

    Each of the calls comes after those that it takes values from, and the output depends on each.
    """
    uses: dict[Any, int] = {output: 1}
    for call in calls:
        for value in call.takes:
            uses[value] = uses.get(value, 0) + 1
    waiting = {source: uses.get(source, 0)}  # values that are still to be taken, and how often
    link: list[Call] = []
    for call in calls:
        for value in call.takes:
            waiting[value] -= 1
            if waiting[value] == 0:
                del waiting[value]
        waiting[call.gives] = uses[call.gives]
        link.append(call)
        if list(waiting) == [call.gives]:
            yield link
            link = []


def branches(link: Sequence[Call], source: Any) -> list[list[Call]]:
    """Return the calls between the source and each value that the last call of a link takes.

    Raise SharedCallError if two branches share a call: then they do not start from one value.
    """
    *before, last = link
    found: list[list[Call]] = []
    seen: set[int] = set()
    for value in last.takes:
        branch = needed(before, value)
        for call in branch:
            if id(call) in seen:
                raise SharedCallError(call.node)
            seen.add(id(call))
        found.append(branch)
    return found


def needed(calls: Sequence[Call], output: Any) -> list[Call]:
    """Return the calls that a value depends on, in order."""
    wanted = {output}
    kept = []
    for call in reversed(calls):
        if call.gives in wanted:
            kept.append(call)
            wanted.update(call.takes)
    return kept[::-1]


def check_depth(depth: int) -> None:
    """Refuse branches that are nested too deep."""
    if depth > DEEPEST:
        raise ConfigurationError(f"its branches are nested more than {DEEPEST} deep")
