"""Check a student's file: run it, compare its results with the reference, and look for hints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nnx.course.comparing import Check, by_function, compared
from nnx.course.hints import add_hints
from nnx.course.process import SECONDS, run
from nnx.course.task import Case, Task


@dataclass
class Report:
    """What `check` found.

    Attributes
    ----------
    task : Task
    checks : list of Check
        One for each result of each function, and one for its arguments; empty if the file did not run.
    problem : str
        Why the file could not be checked; empty if it could.
    line : int or None
        The line of the problem.
    printed : str
        What the file printed.
    """

    task: Task
    checks: list[Check] = field(default_factory=list)
    problem: str = ""
    line: int | None = None
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything is right."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def score(self) -> float:
        """The share of right results, 0 to 1; those of a function that changes its arguments do not count."""
        wanted = sum(map(len, self.task.returns.values()))
        changed = {
            check.function for check in self.checks if check.result == "arguments" and not check.passed
        }
        results = [check for check in self.checks if check.result != "arguments"]
        return sum(check.passed and check.function not in changed for check in results) / wanted

    def as_json(self) -> dict[str, Any]:
        """Return the report for a grader."""
        return {
            "task": self.task.number, "name": self.task.name, "title": self.task.title,
            "passed": self.passed, "score": self.score, "problem": self.problem, "line": self.line,
            "checks": [asdict(check) | {"passed": check.passed} for check in self.checks],
            "printed": self.printed,
        }  # fmt: skip


def check(task: Task, file: Path, seed: int = 0, seconds: float = SECONDS) -> Report:
    """Run a student's file in a separate process, and compare its results with the reference."""
    cases = task.cases(seed)
    answer = run(file, cases, seconds)
    if answer.problem:
        return Report(task, problem=answer.problem, line=answer.line, printed=answer.printed)
    return Report(task, checks_of(task, cases, answer.outcomes, answer.lines), printed=answer.printed)


def checks_of(
    task: Task, cases: list[Case], outcomes: list[dict[str, Any]], lines: dict[str, int | None]
) -> list[Check]:
    """Return the checks of all functions, with hints."""
    found = []
    for of in by_function(task, cases, outcomes):
        checks = compared(of)
        add_hints(task, of, checks)
        for one in checks:
            one.begins = lines.get(of.name)
        found += checks
    return found
