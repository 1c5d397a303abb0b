"""Count the usual mistakes that are caught, and those whose hint is right.

``python tests/course/count_hints.py`` counts all tasks. With numbers of tasks,
it also shows the mistakes without the right hint.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.course_mistakes import made

from nnx.course.task import task, tasks


def main(numbers: list[int]) -> None:
    all_made, all_caught, all_right = 0, 0, 0
    print("task                              made  caught  right hint")
    for one in [task(number) for number in numbers] or tasks():
        mistakes = made(one)
        caught, right = sum(m.caught for m in mistakes), sum(m.hint_is_right for m in mistakes)
        print(f"{one.number:2} {one.title:30.30} {len(mistakes):5}  {caught:6}  {right:10}")
        if numbers:
            for m in mistakes:
                if not m.hint_is_right:
                    print(f"   {m.edit!r}, wanted {m.expected!r}: {[(c.message, c.hint) for c in m.failed]}")
        all_made, all_caught, all_right = all_made + len(mistakes), all_caught + caught, all_right + right
    print(f"{'all':33} {all_made:5}  {all_caught:6}  {all_right:10}  ({all_right / all_made:.0%})")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
