"""Find the tasks of the course; define a case that is checked and a usual mistake."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import ConfigurationError

FOLDER = Path(__file__).parent
_FILE = re.compile(r"task(\d\d)_(\w+)\.py")


@dataclass(frozen=True)
class Case:
    """One call of a student's function.

    Attributes
    ----------
    function : str
        Name of the function.
    label : str
        A short description for messages, such as ``"one row"``.
    arguments : dict
        Arguments by name: arrays, numbers, text, None, and tuples or lists of these.
    """

    function: str
    label: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """A usual mistake, as an edit of the reference's text.

    Attributes
    ----------
    old, new : str
        Every `old` in the text is replaced by `new`.
    hint : str
        What a student who gets the same numbers should look at, without the solution.
    """

    old: str
    new: str
    hint: str


@dataclass(frozen=True)
class Task:
    """A task: the file that a student gets, the reference, and what is checked.

    Attributes
    ----------
    number : int
    name : str
        Name of its files: ``"task03_dense_backward"``.
    """

    number: int
    name: str

    @cached_property
    def text(self) -> str:
        """The file that a student starts from, without the example."""
        return (FOLDER / "tasks" / f"{self.name}.py").read_text(encoding="utf-8")

    @cached_property
    def solution(self) -> str:
        """The text of the functions of the reference; its data and mistakes are left out."""
        text = (FOLDER / "solutions" / f"{self.name}.py").read_text(encoding="utf-8")
        return text.partition("\n\ndef cases(")[0]

    @property
    def title(self) -> str:
        """The first line of the file, without ``Task N:`` and the full stop."""
        first = (ast.get_docstring(ast.parse(self.text)) or "").partition("\n")[0]
        title = first.partition(": ")[2].rstrip(".")
        return title[:1].upper() + title[1:]

    @property
    def file(self) -> str:
        """Name of the student's file."""
        return f"{self.name}.py"

    @cached_property
    def _module(self) -> Any:
        return import_module(f"nnx.course.solutions.{self.name}")

    @property
    def returns(self) -> dict[str, tuple[str, ...]]:
        """The functions to write, and the names of their results."""
        return dict(self._module.RETURNS)

    @property
    def mistakes(self) -> list[Mistake]:
        """The usual mistakes, the more special ones first."""
        return list(self._module.MISTAKES)

    def reference(self) -> dict[str, Callable[..., Any]]:
        """Return the functions of the reference."""
        return {name: getattr(self._module, name) for name in self.returns}

    def with_mistake(self, *mistakes: Mistake) -> dict[str, Callable[..., Any]]:
        """Return the functions of the reference after these edits; none if an `old` is not in its text."""
        text = self.solution
        for mistake in mistakes:
            if mistake.old not in text:
                return {}
            text = text.replace(mistake.old, mistake.new)
        return functions(text, self.returns)

    def cases(self, seed: int = 0) -> list[Case]:
        """Return the calls to check, with data from a seed; the first is the example that students see."""
        found: list[Case] = self._module.cases(np.random.default_rng([seed, self.number]))
        return found


def functions(text: str, names: Any) -> dict[str, Callable[..., Any]]:
    """Run a text of Python that belongs to the course, and return its functions with these names."""
    space: dict[str, Any] = {"__name__": "nnx.course.edited"}
    exec(compile(text, "<reference>", "exec"), space)  # nnx's own text, or an edit of it: never a student's
    return {name: space[name] for name in names if name in space}


def tasks() -> list[Task]:
    """Return all tasks, in their order."""
    found = (_FILE.fullmatch(path.name) for path in sorted((FOLDER / "tasks").glob("task*.py")))
    return [Task(int(match[1]), match[0].removesuffix(".py")) for match in found if match]


def task(number: int) -> Task:
    """Return the task with a number.

    Raises
    ------
    ConfigurationError
        If there is no such task.
    """
    known = {one.number: one for one in tasks()}
    if number not in known:
        raise ConfigurationError(f"there is no task {number}: choose from {min(known)} to {max(known)}")
    return known[number]
