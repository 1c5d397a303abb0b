"""Give each value of a program its place in one block of memory, so that values share what they can."""

from __future__ import annotations

from dataclasses import dataclass

from nnx.standalone.program import INPUT, Program, Step

IN_PLACE = ("activation", "softmax", "prelu", "layer_norm", "affine", "ascending", "add")


@dataclass(frozen=True)
class Memory:
    """Where the values of a program lie.

    Attributes
    ----------
    places : dict of int to int
        The first number of each value in the block. The input has none, and neither have the answer and the
        values that share its memory.
    answers : frozenset of int
        The answer, and the values that lie in its memory.
    size : int
        How many numbers the block has.
    """

    places: dict[int, int]
    answers: frozenset[int]
    size: int


def plan(program: Program, apart: bool = False) -> Memory:
    """Place the values of a program, the largest first, where no value that is still needed is stored.

    A step that computes each number from the same number of its source overwrites the source, if nothing
    reads that later.

    Parameters
    ----------
    program : Program
    apart : bool
        Whether the answer has another type than the other values, which then cannot lie in its memory.
    """
    groups = _groups(program, apart)
    last = program.last_reads()
    written = {INPUT: -1} | {step.target: place for place, step in enumerate(program.steps)}
    lives = [
        (min(written[value] for value in group), max(last.get(value, written[value]) for value in group))
        for group in groups
    ]
    answer = next((number for number, group in enumerate(groups) if program.result in group), None)
    begins: dict[int, int] = {}
    for number in sorted(range(len(groups)), key=lambda number: -program.values[groups[number][0]]):
        if number != answer:
            begins[number] = _lowest(program, groups, lives, begins, number)
    places = {value: begin for number, begin in begins.items() for value in groups[number]}
    size = max((places[value] + program.values[value] for value in places), default=0)
    return Memory(places, frozenset(() if answer is None else groups[answer]), size)


def _groups(program: Program, apart: bool) -> list[list[int]]:
    """Return the values except the input, in groups that overwrite one another."""
    last = program.last_reads()
    groups: dict[int, list[int]] = {}
    for place, step in enumerate(program.steps):
        source = None if apart and step.target == program.result else _overwritten(step, place, last)
        group = [] if source is None else groups[source]
        group.append(step.target)
        groups[step.target] = group
    return [group for value, group in groups.items() if group[0] == value]


def _overwritten(step: Step, place: int, last: dict[int, int]) -> int | None:
    """Return the source that a step may overwrite; None if it must not."""
    if step.kind not in IN_PLACE:
        return None
    return next((value for value in step.sources if value != INPUT and last[value] == place), None)


def _lowest(
    program: Program,
    groups: list[list[int]],
    lives: list[tuple[int, int]],
    begins: dict[int, int],
    number: int,
) -> int:
    """Return the lowest place for a group, next to those that are placed and live at the same time."""
    begin, size = 0, program.values[groups[number][0]]
    taken = sorted(
        (at, at + program.values[groups[other][0]])
        for other, at in begins.items()
        if lives[other][0] <= lives[number][1] and lives[number][0] <= lives[other][1]
    )
    for low, high in taken:
        if begin + size <= low:
            break
        begin = max(begin, high)
    return begin
