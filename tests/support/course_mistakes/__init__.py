"""Twenty usual mistakes of each task of the course, written as students write them, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from nnx.course.calls import call
from nnx.course.checking import checks_of
from nnx.course.comparing import Check
from nnx.course.task import Task, functions


@dataclass
class Made:
    """A mistake that was made, and what the check said."""

    edit: str
    expected: str | None
    failed: list[Check]

    @property
    def caught(self) -> bool:
        return bool(self.failed)

    @property
    def hint_is_right(self) -> bool:
        """Whether one of the hints names the mistake."""
        return self.expected is not None and any(self.expected in check.hint for check in self.failed)


def row(task: Task, mistakes: list[Made]) -> str:
    """A line of the table of counts."""
    caught, right = sum(m.caught for m in mistakes), sum(m.hint_is_right for m in mistakes)
    return f"{task.name:26} {len(mistakes):5}  {caught:6}  {right:10}"


def made(task: Task, seed: int = 0, with_hint: bool = False) -> list[Made]:
    """Make each mistake of a task in its reference, or those with a hint, and check it in this process."""
    cases = task.cases(seed)
    found = []
    for old, new, expected in import_module(f"support.course_mistakes.{task.name}").MISTAKES:
        if with_hint and expected is None:
            continue
        assert old in task.solution, f"{task.name} has no {old!r}"
        changed = functions(task.solution.replace(old, new), task.returns)
        outcomes = [call(changed[case.function], case.arguments) for case in cases]
        checks = checks_of(task, cases, outcomes, {})
        found.append(Made(new, expected, [check for check in checks if not check.passed]))
    return found
