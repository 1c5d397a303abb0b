"""Count the usual mistakes that are caught, and those whose hint is right.

``python tests/course/count_hints.py`` counts all tasks. With numbers of tasks,
it also shows the mistakes without the right hint.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.course_mistakes import made, row

from nnx.course.task import task, tasks


def main(numbers: list[int]) -> None:
    """Print the counts; for tasks that are asked for, also what has no right hint."""
    everything = []
    print("task                        made  caught  right hint")
    for one in [task(number) for number in numbers] or tasks():
        mistakes = made(one)
        print(row(one, mistakes))
        for mistake in mistakes if numbers else []:
            if not mistake.hint_is_right:
                said = [(check.message, check.hint) for check in mistake.failed]
                print(f"    {mistake.edit!r}, wanted {mistake.expected!r}: {said}")
        everything += mistakes
    right = sum(mistake.hint_is_right for mistake in everything)
    caught = sum(mistake.caught for mistake in everything)
    print(f"{'all':26} {len(everything):5}  {caught:6}  {right:10}  ({right / len(everything):.0%})")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
