"""Compare what a student's functions returned with the reference, result by result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.course.calls import call
from nnx.course.process import explained
from nnx.course.task import Case, Task

TOLERANCE = 1e-7  # relative to the largest number of the expected result
_MATMUL = re.compile(r"size (\d+) is different from (\d+)")
_DOT = re.compile(r"(\d+) \(dim \d+\) != (\d+) \(dim \d+\)")
ARGUMENTS = "arguments"  # name of the check that a function leaves its arguments as they are


@dataclass
class Check:
    """One result of one function, over all cases.

    Attributes
    ----------
    function, result : str
        Names of the function and of the result; the result `ARGUMENTS` stands for unchanged arguments.
    case : str
        Label of the first case that is wrong.
    message : str
        What is wrong in that case; empty if the result is right in all cases.
    hint : str
        The likely reason; empty if none is known.
    line : int or None
        The line of the student's file with the error; None if the function returned something.
    begins : int or None
        The line where the function begins.
    """

    function: str
    result: str
    case: str = ""
    message: str = ""
    hint: str = ""
    line: int | None = None
    begins: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the result is right in all cases."""
        return not self.message


@dataclass
class Calls:
    """All cases of one function, with the outcomes of the student's code and of the reference."""

    name: str
    results: tuple[str, ...]
    cases: list[Case]
    student: list[dict[str, Any]]
    expected: list[dict[str, Any]]


def by_function(task: Task, cases: list[Case], outcomes: list[dict[str, Any]]) -> list[Calls]:
    """Return the cases and outcomes of each function of a task."""
    reference = task.reference()
    found = []
    for name, results in task.returns.items():
        pairs = [(case, got) for case, got in zip(cases, outcomes, strict=True) if case.function == name]
        expected = [call(reference[name], case.arguments) for case, _ in pairs]
        found.append(Calls(name, results, [case for case, _ in pairs], [got for _, got in pairs], expected))
    return found


def compared(of: Calls) -> list[Check]:
    """Return a check of each result of a function, and one of its arguments."""
    checks = []
    for place, result in enumerate(of.results):
        check = Check(of.name, result)
        for case, got, expected in zip(of.cases, of.student, of.expected, strict=True):
            check.message = wrong(got, part(expected, place, len(of.results)), place, of.results)
            if not check.passed:
                check.case = case.label
                check.line = got["error"]["line"] if "error" in got else None
                break
        checks.append(check)
    return [*checks, _arguments(of)]


def _arguments(of: Calls) -> Check:
    check = Check(of.name, ARGUMENTS)
    for case, got in zip(of.cases, of.student, strict=True):
        if got.get("changed"):
            check.case = case.label
            check.message = f"changes its argument {got['changed'][0]}"
            check.hint = (
                "An operation in place, such as += or x[…] = …, overwrites the caller's array. "
                "Compute a new array, or copy it first."
            )
            break
    return check


def part(outcome: dict[str, Any], place: int, count: int) -> Any:
    """Return one result of an outcome; if there is none, the error or a description of what was returned."""
    if "error" in outcome:
        return {"error": outcome["error"]["type"], "text": _alike(outcome["error"]["text"])}
    result = outcome["result"]
    if count == 1 and not isinstance(result, tuple):
        return result
    return result[place] if isinstance(result, tuple) and len(result) == count else {"returned": kind(result)}


def _alike(text: str) -> str:
    """Return an error's text; if matrices do not fit, the same text for @ and for np.dot."""
    found = _DOT.search(text)
    if found:
        return f"product {found[1]} {found[2]}"
    found = _MATMUL.search(text)
    return f"product {found[2]} {found[1]}" if found else text


def wrong(outcome: dict[str, Any], expected: Any, place: int, results: tuple[str, ...]) -> str:
    """Return in one line what is wrong with one result; empty if it is right."""
    if "missing" in outcome:
        return f"the file has no function {outcome['missing']}"
    if "error" in outcome:
        return explained(outcome["error"])
    got, name = part(outcome, place, len(results)), results[place]
    if isinstance(got, dict) and "returned" in got:
        what = ", ".join(results)
        return f"returns {got['returned']}, must return {what if len(results) == 1 else f'the tuple {what}'}"
    if not isinstance(got, np.ndarray):
        if isinstance(got, dict) and "shape" in got:
            return f"{name} has the shape {shown(got['shape'])}, expected {shown(expected.shape)}"
        return (
            f"{name} is {kind(got)}, must be {'one number' if not expected.ndim else 'an array of numbers'}"
        )
    if got.shape != expected.shape:
        return f"{name} {_of_shape(got.shape)}, expected {_of_shape(expected.shape).removeprefix('has ')}"
    return _first_wrong(got, expected, name)


def _first_wrong(got: Any, expected: Any, name: str) -> str:
    bad = np.argwhere(~close(got, expected))
    if not len(bad):
        return ""
    index = tuple(int(one) for one in bad[0])
    place = f"[{', '.join(map(str, index))}]" if index else ""
    ours, theirs = float(expected[index]), float(got[index])
    digits = next((n for n in (4, 6, 9, 17) if f"{ours:.{n}g}" != f"{theirs:.{n}g}"), 17)
    count = f" ({len(bad)} of {got.size} numbers are wrong)" if got.size > 1 else ""
    return f"{name}{place} is {theirs:.{digits}g}, expected {ours:.{digits}g}{count}"


def close(got: Any, expected: Any) -> Any:
    """Return where two arrays of one shape have the same numbers; NaN equals NaN."""
    with np.errstate(all="ignore"):
        finite = np.abs(expected[np.isfinite(expected)])
        largest = float(finite.max()) if finite.size else 0.0
        near = np.abs(got - expected) <= TOLERANCE * largest + 1e-12
        return near | (got == expected) | (np.isnan(got) & np.isnan(expected))


def kind(value: Any) -> str:
    """Return what kind of value a described result is, for a message."""
    if value is None:
        return "None"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, dict):
        name = str(value.get("type", "an array"))
        return name if " " in name else f"a value of type {name}"
    return "one array" if value.ndim else "one number"


def shown(shape: Any) -> str:
    """Return a shape as Python writes it."""
    return str(tuple(int(size) for size in shape))


def _of_shape(shape: Any) -> str:
    return f"has the shape {shown(shape)}" if len(shape) else "has the shape () of one number"
